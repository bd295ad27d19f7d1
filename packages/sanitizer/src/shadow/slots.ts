import { REGION_PAGES, regionOf } from './region.ts';
import { flagsAre, isUsed, NOWHERE, SlotRegion, splitRegion } from './slot-region.ts';

const DENSE_REGIONS = 1 << 15;
const LOW = REGION_PAGES - 1;

/**
 * Shadow of an address space: what the program has reserved, linked, synced and unlinked, slot by slot, kept apart
 * from the page table itself. A region of 2 MiB whose slots agree (a large leaf) is one record; others have 17 bytes
 * a slot. Regions without state go back to a pool, but for the last one, which is likely to be used again.
 *
 * Ranges are changed by the functions of `slot-ranges.ts`, `slot-mapping.ts` and `slot-visit.ts`.
 */
export class Slots {
  readonly #dense: (SlotRegion | undefined)[] = [];
  readonly #far = new Map<number, SlotRegion>();
  readonly #pool: SlotRegion[] = [];
  #lastIndex = -1;
  #last: SlotRegion | undefined = undefined;
  /** The one region that has no state and is kept. */
  #spareIndex = -1;

  flagsAt(page: number): number {
    const region = this.find(regionOf(page));
    if (region === undefined) return 0;
    return region.split ? region.flagsOf[page & LOW]! : region.flags;
  }

  /** What is mapped at a slot, see `inline-link.ts`; meaningful while LINKED. */
  linkAt(page: number): number {
    const region = this.find(regionOf(page));
    if (region === undefined) return 0;
    return region.split ? region.linkOf[page & LOW]! : region.link;
  }

  /** Number of the call that mapped a slot; meaningful while LINKED. */
  callAt(page: number): number {
    const region = this.find(regionOf(page));
    if (region === undefined) return 0;
    return region.split ? region.callOf[page & LOW]! : region.call;
  }

  /** Frame that a slot was last mapped to; meaningful while PRESENT or STALE. */
  pfnAt(page: number): number {
    const region = this.find(regionOf(page));
    if (region === undefined) return -1;
    return region.split ? region.pfnOf[page & LOW]! : region.pfn + (page & LOW);
  }

  /** Union of the flags of a range. */
  anyFlags(firstPage: number, pages: number): number {
    if (pages === 1) return this.flagsAt(firstPage);
    let any = 0;
    const end = firstPage + pages;
    for (let page = firstPage; page < end; ) {
      const index = regionOf(page);
      const stop = Math.min(end, (index + 1) * REGION_PAGES);
      const region = this.find(index);
      if (region !== undefined) {
        if (region.split) {
          const { flagsOf } = region;
          for (let i = page & LOW, n = stop - page; n > 0; i++, n--) any |= flagsOf[i]!;
        } else {
          any |= region.flags;
        }
      }
      page = stop;
    }
    return any;
  }

  /** Intersection of the flags of a range. */
  allFlags(firstPage: number, pages: number): number {
    let all = 255;
    const end = firstPage + pages;
    for (let page = firstPage; page < end && all !== 0; ) {
      const index = regionOf(page);
      const stop = Math.min(end, (index + 1) * REGION_PAGES);
      const region = this.find(index);
      if (region === undefined) return 0;
      if (region.split) {
        const { flagsOf } = region;
        for (let i = page & LOW, n = stop - page; n > 0; i++, n--) all &= flagsOf[i]!;
      } else {
        all &= region.flags;
      }
      page = stop;
    }
    return all;
  }

  /** Whether every slot of a range has exactly these flags. */
  haveExactly(firstPage: number, pages: number, flags: number): boolean {
    const end = firstPage + pages;
    for (let page = firstPage; page < end; ) {
      const index = regionOf(page);
      const stop = Math.min(end, (index + 1) * REGION_PAGES);
      const region = this.find(index);
      if (region === undefined || !region.split) {
        if ((region === undefined ? 0 : region.flags) !== flags) return false;
      } else if (region.used === 0 || (region.used === REGION_PAGES && flags === 0)) {
        if (flags !== 0 || region.used !== 0) return false;
      } else {
        const first = page & LOW;
        if (!flagsAre(region, first, first + (stop - page), flags)) return false;
      }
      page = stop;
    }
    return true;
  }

  /** The region with this number; undefined while none of its slots has state. */
  find(index: number): SlotRegion | undefined {
    if (index === this.#lastIndex) return this.#last;
    const region = index < DENSE_REGIONS ? this.#dense[index] : this.#far.get(index);
    this.#lastIndex = index;
    this.#last = region;
    return region;
  }

  /** The region with this number, made when it is missing. */
  make(index: number): SlotRegion {
    return this.find(index) ?? this.#make(index);
  }

  /** The region that a page lies in, with an element for every slot. */
  elements(page: number): SlotRegion {
    const region = this.make(regionOf(page));
    splitRegion(region);
    return region;
  }

  /** A region may have lost its last state. */
  release(index: number, region: SlotRegion): void {
    if (!isUsed(region)) this.#release(index);
  }

  #release(index: number): void {
    const spare = this.#spareIndex;
    this.#spareIndex = index;
    if (spare === index || spare < 0) return;
    const old = spare < DENSE_REGIONS ? this.#dense[spare] : this.#far.get(spare);
    // It may be in use again, or dropped already.
    if (old === undefined || isUsed(old)) return;
    old.base = NOWHERE;
    old.split = false;
    old.flags = 0;
    this.#pool.push(old);
    if (spare < DENSE_REGIONS) this.#dense[spare] = undefined;
    else this.#far.delete(spare);
    if (this.#lastIndex === spare) this.#last = undefined;
  }

  /** Numbers of the regions that exist, ascending. */
  regions(): number[] {
    const numbers: number[] = [];
    for (let index = 0; index < this.#dense.length; index++)
      if (this.#dense[index] !== undefined) numbers.push(index);
    return [...numbers, ...[...this.#far.keys()].sort((a, b) => a - b)];
  }

  #make(index: number): SlotRegion {
    const region = this.#pool.pop() ?? new SlotRegion();
    if (index < DENSE_REGIONS) {
      // The list stays dense: holes would turn it into a dictionary.
      while (this.#dense.length < index) this.#dense.push(undefined);
      this.#dense[index] = region;
    } else {
      this.#far.set(index, region);
    }
    region.base = index * REGION_PAGES;
    this.#lastIndex = index;
    this.#last = region;
    return region;
  }
}
