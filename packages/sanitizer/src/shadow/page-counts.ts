import { AddressMap } from './address-map.ts';
import { larger } from './larger.ts';
import { REGION_PAGES, regionOf } from './region.ts';

// V8 folds a module's own constants, not imported ones (docs/decisions/0002-hot-paths.md).
const OWN_REGION_PAGES = REGION_PAGES;

const SHIFT = 9;
const LOW = OWN_REGION_PAGES - 1;
/** Regions below this are found by index, those above (MMIO, far apart) by hash. */
const DENSE_REGIONS = 1 << 15;

/**
 * One small number a page, over a sparse space of pages: a region of 2 MiB whose pages agree costs two array
 * elements, others 2 KiB of a common pool. Used per physical page (references) and per directly mapped page (rights).
 */
export class PageCounts {
  /** Chunk of each region in {@link #counts}; 0 = its pages agree. */
  #chunk: Int32Array = new Int32Array(8);
  /** Number of all pages of a region without chunk. */
  #value: Int32Array = new Int32Array(8);
  /** Behind the pages of regions that are found by index. */
  #nearEnd = 8 * OWN_REGION_PAGES;
  /** Places of far regions, behind the dense ones. */
  #far: AddressMap | null = null;
  #places = 0;
  #counts: Int32Array = new Int32Array(OWN_REGION_PAGES);
  #chunks = 1;

  /** Number at a page. */
  get(page: number): number {
    const place = this.#find(regionOf(page));
    if (place < 0) return 0;
    const chunk = this.#chunk[place]!;
    return chunk === 0 ? this.#value[place]! : this.#counts[(chunk << SHIFT) | (page & LOW)]!;
  }

  /** Add to one page, or to all of a range. */
  add(firstPage: number, pages: number, delta: number): void {
    if (pages === 1) {
      const index = regionOf(firstPage);
      let chunk = firstPage < this.#nearEnd ? this.#chunk[index]! : 0;
      if (chunk === 0) chunk = this.#split(this.#make(index));
      this.#counts[(chunk << SHIFT) | (firstPage & LOW)]! += delta;
      return;
    }
    const end = firstPage + pages;
    for (let page = firstPage; page < end; ) {
      const index = regionOf(page);
      const stop = Math.min(end, (index + 1) * OWN_REGION_PAGES);
      const place = this.#make(index);
      if (this.#chunk[place] === 0 && stop - page === OWN_REGION_PAGES) {
        this.#value[place]! += delta;
      } else {
        const first = (this.#split(place) << SHIFT) | (page & LOW);
        const counts = this.#counts;
        for (let i = first, n = stop - page; n > 0; i++, n--) counts[i]! += delta;
      }
      page = stop;
    }
  }

  /** Set every page of a range. */
  set(firstPage: number, pages: number, value: number): void {
    const end = firstPage + pages;
    for (let page = firstPage; page < end; ) {
      const index = regionOf(page);
      const stop = Math.min(end, (index + 1) * OWN_REGION_PAGES);
      const place = this.#make(index);
      if (this.#chunk[place] === 0 && stop - page === OWN_REGION_PAGES) this.#value[place] = value;
      else {
        const first = (this.#split(place) << SHIFT) | (page & LOW);
        this.#counts.fill(value, first, first + stop - page);
      }
      page = stop;
    }
  }

  /** Add to every page of a part of a list. */
  addEach(pages: Float64Array, from: number, to: number, delta: number): void {
    for (let i = this.#addNear(pages, from, to, delta); i < to; i = this.#addNear(pages, i, to, delta))
      this.add(pages[i++]!, 1, delta);
  }

  /** Add to pages of a list up to the first that is far or has no element yet. @returns its place. */
  #addNear(pages: Float64Array, from: number, to: number, delta: number): number {
    const chunks = this.#chunk;
    const counts = this.#counts;
    const end = this.#nearEnd;
    for (let i = from; i < to; i++) {
      if (pages[i]! >= end) return i;
      const page = pages[i]! | 0;
      const chunk = chunks[page >> SHIFT]!;
      if (chunk === 0) return i;
      const at = (chunk << SHIFT) | (page & LOW);
      counts[at] = (counts[at]! + delta) | 0;
    }
    return to;
  }

  /** Add to one page, unless those bits of its number that are in `mask` are `value`. Returns whether it was done. */
  addUnless(page: number, delta: number, mask: number, value: number): boolean {
    const chunk = page < this.#nearEnd ? this.#chunk[page >> SHIFT]! : 0;
    if (chunk === 0) return this.#addUnlessFirst(page, delta, mask, value);
    const counts = this.#counts;
    const at = (chunk << SHIFT) | (page & LOW);
    const number = counts[at]!;
    if ((number & mask) === value) return false;
    counts[at] = number + delta;
    return true;
  }

  /** The same for a page that is far or has no element yet. */
  #addUnlessFirst(page: number, delta: number, mask: number, value: number): boolean {
    const isSo = (this.get(page) & mask) === value;
    if (!isSo) this.add(page, 1, delta);
    return !isSo;
  }

  /** Set those bits of every page's number that are in `mask`. */
  setBits(firstPage: number, pages: number, mask: number, value: number): void {
    const end = firstPage + pages;
    for (let page = firstPage; page < end; ) {
      const index = regionOf(page);
      const stop = Math.min(end, (index + 1) * OWN_REGION_PAGES);
      const place = this.#make(index);
      if (this.#chunk[place] === 0 && stop - page === OWN_REGION_PAGES) {
        this.#value[place] = (this.#value[place]! & ~mask) | value;
      } else {
        const first = (this.#split(place) << SHIFT) | (page & LOW);
        const counts = this.#counts;
        for (let i = first, n = stop - page; n > 0; i++, n--) counts[i] = (counts[i]! & ~mask) | value;
      }
      page = stop;
    }
  }

  /** First page of a range whose number is another one than `value`, or -1. */
  firstOther(firstPage: number, pages: number, value: number): number {
    if (pages === 1) return this.get(firstPage) === value ? -1 : firstPage;
    return this.first(firstPage, pages, -1, value, false);
  }

  /** First page of a range whose number is `value`, or -1. */
  firstEqual(firstPage: number, pages: number, value: number): number {
    if (pages === 1) return this.get(firstPage) === value ? firstPage : -1;
    return this.first(firstPage, pages, -1, value, true);
  }

  /** First page of a range whose number is not 0, or -1. */
  firstNonZero(firstPage: number, pages: number): number {
    return this.firstOther(firstPage, pages, 0);
  }

  /** First page of a range for which "those bits that are in `mask` are `value`" is `equal`, or -1. */
  first(firstPage: number, pages: number, mask: number, value: number, equal: boolean): number {
    const end = firstPage + pages;
    for (let page = firstPage; page < end; ) {
      const index = regionOf(page);
      const stop = Math.min(end, (index + 1) * OWN_REGION_PAGES);
      const place = this.#find(index);
      const chunk = place < 0 ? 0 : this.#chunk[place]!;
      if (chunk === 0) {
        if (((place < 0 ? 0 : this.#value[place]! & mask) === value) === equal) return page;
      } else {
        const counts = this.#counts;
        const first = (chunk << SHIFT) | (page & LOW);
        for (let i = 0, n = stop - page; i < n; i++)
          if (((counts[first + i]! & mask) === value) === equal) return page + i;
      }
      page = stop;
    }
    return -1;
  }

  /** Place of a region; -1 when it was never touched. */
  #find(index: number): number {
    if (index < DENSE_REGIONS) return index < this.#chunk.length ? index : -1;
    return this.#far === null ? -1 : this.#far.get(index) - 1;
  }

  #make(index: number): number {
    if (index < this.#chunk.length && index < DENSE_REGIONS) return index;
    return this.#makeSlow(index);
  }

  #makeSlow(index: number): number {
    let place = index;
    if (index >= DENSE_REGIONS) {
      this.#far ??= new AddressMap();
      const known = this.#far.get(index);
      if (known !== 0) return known - 1;
      place = DENSE_REGIONS + this.#places++;
      this.#far.set(index, place + 1);
    }
    if (place >= this.#chunk.length) {
      let length = this.#chunk.length;
      while (length <= place) length *= 2;
      this.#chunk = larger(this.#chunk, new Int32Array(length));
      this.#value = larger(this.#value, new Int32Array(length));
      this.#nearEnd = Math.min(length, DENSE_REGIONS) * OWN_REGION_PAGES;
    }
    return place;
  }

  /** Give the pages of a region their own elements; returns the chunk. */
  #split(place: number): number {
    const known = this.#chunk[place]!;
    return known === 0 ? this.#splitSlow(place) : known;
  }

  #splitSlow(place: number): number {
    const chunk = this.#chunks++;
    if (this.#chunks << SHIFT > this.#counts.length)
      this.#counts = larger(this.#counts, new Int32Array(this.#counts.length * 2));
    if (this.#value[place] !== 0)
      this.#counts.fill(this.#value[place]!, chunk << SHIFT, (chunk + 1) << SHIFT);
    this.#chunk[place] = chunk;
    return chunk;
  }
}
