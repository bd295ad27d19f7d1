import type { PageCounts } from './page-counts.ts';
import { REGION_PAGES, regionOf } from './region.ts';

/** The page table translates the slot, as far as events tell. */
export const PRESENT = 1;
/** A live link or classic mapping covers the slot. */
export const LINKED = 2;
/** A sync covered it since it was linked. */
export const SYNCED = 4;
/** Its entry was cleared and the invalidation is still to come. */
export const STALE = 8;
/** Present although the program has ended the mapping: a leaf that leaked. */
export const ORPHAN = 16;
/** Goes through a bounce slot. */
export const BOUNCED = 32;
/** Belongs to a live reservation or classic mapping. */
export const RESERVED = 64;

const NO_BYTES = new Uint8Array(0);
const NO_INTS = new Int32Array(0);
const NO_DOUBLES = new Float64Array(0);
const DENSE_REGIONS = 1 << 15;
const LOW = REGION_PAGES - 1;

/** The slots of one region, by the low bits of their page number. Read only. */
export interface SlotElements {
  readonly flagsOf: Uint8Array;
  readonly linkOf: Int32Array;
}

/** State of 512 slots: one value for all of them, or an array element each. */
class Region {
  split = false;
  flags = 0;
  link = 0;
  /** Frame of the first slot; the others follow it. */
  pfn = 0;
  /** Slots whose flags are not 0, while split. */
  used = 0;
  flagsOf: Uint8Array = NO_BYTES;
  linkOf: Int32Array = NO_INTS;
  pfnOf: Float64Array = NO_DOUBLES;
}

/** Visitor of runs of slots that share their flags and their mapping record. */
export type SlotVisitor = (page: number, pages: number, flags: number, link: number) => void;

/**
 * Shadow of a translated address space: what the program has reserved, linked, synced and unlinked, slot by slot,
 * kept apart from the page table itself. A region of 2 MiB whose slots agree (a large leaf) is one record; others
 * have 13 bytes a slot. Regions without state go back to a pool.
 */
export class Slots {
  readonly #dense: (Region | undefined)[] = [];
  readonly #far = new Map<number, Region>();
  readonly #pool: Region[] = [];
  #lastIndex = -1;
  #last: Region | undefined = undefined;

  flagsAt(page: number): number {
    const region = this.#find(regionOf(page));
    if (region === undefined) return 0;
    return region.split ? region.flagsOf[page & LOW]! : region.flags;
  }

  /** Mapping record at a slot; meaningful while LINKED. */
  linkAt(page: number): number {
    const region = this.#find(regionOf(page));
    if (region === undefined) return 0;
    return region.split ? region.linkOf[page & LOW]! : region.link;
  }

  /** Frame that a slot was last mapped to; meaningful while PRESENT or STALE. */
  pfnAt(page: number): number {
    const region = this.#find(regionOf(page));
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
      const region = this.#find(index);
      if (region !== undefined) {
        if (region.split) {
          const flags = region.flagsOf;
          for (let i = page & LOW, n = stop - page; n > 0; i++, n--) any |= flags[i]!;
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
      const region = this.#find(index);
      if (region === undefined) return 0;
      if (region.split) {
        const flags = region.flagsOf;
        for (let i = page & LOW, n = stop - page; n > 0; i++, n--) all &= flags[i]!;
      } else {
        all &= region.flags;
      }
      page = stop;
    }
    return all;
  }

  /** Change flags of a range: those in `clear` go, those in `set` come. */
  change(firstPage: number, pages: number, clear: number, set: number): void {
    const end = firstPage + pages;
    const keep = ~clear;
    for (let page = firstPage; page < end; ) {
      const index = regionOf(page);
      const stop = Math.min(end, (index + 1) * REGION_PAGES);
      let region = this.#find(index);
      if (region === undefined && set !== 0) region = this.#make(index);
      if (region !== undefined) {
        if (!region.split && stop - page === REGION_PAGES) region.flags = (region.flags & keep) | set;
        else changePart(region, page & LOW, stop - page, keep, set);
        if ((region.split ? region.used : region.flags) === 0) this.#drop(index, region);
      }
      page = stop;
    }
  }

  /** Change the flags of those slots of a range that have `when`. */
  changeWhere(firstPage: number, pages: number, when: number, clear: number, set: number): void {
    const end = firstPage + pages;
    const keep = ~clear;
    for (let page = firstPage; page < end; ) {
      const index = regionOf(page);
      const stop = Math.min(end, (index + 1) * REGION_PAGES);
      const region = this.#find(index);
      if (region !== undefined) {
        if (!region.split && stop - page === REGION_PAGES) {
          if ((region.flags & when) !== 0) region.flags = (region.flags & keep) | set;
        } else {
          split(region);
          const { flagsOf } = region;
          for (let i = page & LOW, n = stop - page; n > 0; i++, n--) {
            const old = flagsOf[i]!;
            if ((old & when) === 0) continue;
            const now = (old & keep) | set;
            flagsOf[i] = now;
            if (now === 0) region.used--;
          }
        }
        if ((region.split ? region.used : region.flags) === 0) this.#drop(index, region);
      }
      page = stop;
    }
  }

  /** Whether every slot of a range has exactly these flags. */
  haveExactly(firstPage: number, pages: number, flags: number): boolean {
    if (pages === 1) return this.flagsAt(firstPage) === flags;
    return this.anyFlags(firstPage, pages) === flags && this.allFlags(firstPage, pages) === flags;
  }

  /** Array elements of the region that a page lies in; null while its slots agree or have no state. */
  elements(page: number): SlotElements | null {
    const region = this.#find(regionOf(page));
    return region !== undefined && region.split ? region : null;
  }

  /**
   * The page table maps one slot, unless its flags have one of `unless`; then nothing changes.
   *
   * @returns the flags before.
   */
  mapOne(page: number, pfn: number, unless: number): number {
    const index = regionOf(page);
    const region = this.#find(index) ?? this.#make(index);
    split(region);
    const i = page & LOW;
    const old = region.flagsOf[i]!;
    if ((old & unless) !== 0) return old;
    if (old === 0) region.used++;
    region.flagsOf[i] = old | PRESENT;
    region.pfnOf[i] = pfn;
    return old;
  }

  /** A mapping record takes one slot that has exactly these flags; otherwise nothing changes. */
  linkOne(page: number, link: number, expected: number): boolean {
    const region = this.#find(regionOf(page));
    if (region === undefined || !region.split) return false;
    const i = page & LOW;
    if (region.flagsOf[i] !== expected) return false;
    region.flagsOf[i] = expected | LINKED;
    region.linkOf[i] = link;
    return true;
  }

  /** The page table maps a range to consecutive frames. */
  map(firstPage: number, pages: number, pfn: number): void {
    const end = firstPage + pages;
    for (let page = firstPage; page < end; ) {
      const index = regionOf(page);
      const stop = Math.min(end, (index + 1) * REGION_PAGES);
      const region = this.#find(index) ?? this.#make(index);
      const first = pfn + (page - firstPage);
      if (!region.split && stop - page === REGION_PAGES) {
        region.pfn = first;
        region.flags |= PRESENT;
      } else {
        split(region);
        const { flagsOf, pfnOf } = region;
        for (let i = page & LOW, n = stop - page, frame = first; n > 0; i++, n--, frame++) {
          if (flagsOf[i] === 0) region.used++;
          flagsOf[i]! |= PRESENT;
          pfnOf[i] = frame;
        }
      }
      page = stop;
    }
  }

  /**
   * The page table clears a range: entries that were present wait for their invalidation from now on.
   *
   * @param leaves - count by frame, lowered for each entry.
   * @returns entries that were present.
   */
  unmap(firstPage: number, pages: number, leaves: PageCounts): number {
    const end = firstPage + pages;
    let cleared = 0;
    for (let page = firstPage; page < end; ) {
      const index = regionOf(page);
      const stop = Math.min(end, (index + 1) * REGION_PAGES);
      const region = this.#find(index);
      if (region !== undefined) {
        if (!region.split && stop - page === REGION_PAGES) {
          if ((region.flags & PRESENT) !== 0) {
            region.flags = (region.flags & ~(PRESENT | ORPHAN)) | STALE;
            leaves.add(region.pfn, REGION_PAGES, -1);
            cleared += REGION_PAGES;
          }
        } else {
          split(region);
          cleared += unmapPart(region, page & LOW, stop - page, leaves);
        }
      }
      page = stop;
    }
    return cleared;
  }

  /** A mapping record takes a range; it has to be synced first. */
  link(firstPage: number, pages: number, link: number): void {
    const end = firstPage + pages;
    for (let page = firstPage; page < end; ) {
      const index = regionOf(page);
      const stop = Math.min(end, (index + 1) * REGION_PAGES);
      const region = this.#find(index) ?? this.#make(index);
      if (!region.split && stop - page === REGION_PAGES) {
        region.link = link;
        region.flags = (region.flags & ~(SYNCED | ORPHAN)) | LINKED;
      } else {
        split(region);
        const { flagsOf, linkOf } = region;
        for (let i = page & LOW, n = stop - page; n > 0; i++, n--) {
          if (flagsOf[i] === 0) region.used++;
          flagsOf[i] = (flagsOf[i]! & ~(SYNCED | ORPHAN)) | LINKED;
          linkOf[i] = link;
        }
      }
      page = stop;
    }
  }

  /** Visit a range as runs of equal flags and mapping record, slots without state included. */
  visit(firstPage: number, pages: number, fn: SlotVisitor): void {
    const end = firstPage + pages;
    let from = firstPage;
    let flags = -1;
    let link = 0;
    for (let page = firstPage; page < end; ) {
      const index = regionOf(page);
      const stop = Math.min(end, (index + 1) * REGION_PAGES);
      const region = this.#find(index);
      const each = region !== undefined && region.split;
      for (let at = page; at < stop; at = each ? at + 1 : stop) {
        const f = region === undefined ? 0 : each ? region.flagsOf[at & LOW]! : region.flags;
        const l = (f & LINKED) === 0 ? 0 : each ? region.linkOf[at & LOW]! : region!.link;
        if (f === flags && l === link) continue;
        if (flags >= 0) {
          fn(from, at - from, flags, link);
        }
        from = at;
        flags = f;
        link = l;
      }
      page = stop;
    }
    if (flags >= 0) fn(from, end - from, flags, link);
  }

  /** Visit every region that has state, as runs, in address order. */
  visitAll(fn: SlotVisitor): void {
    for (let index = 0; index < this.#dense.length; index++) {
      if (this.#dense[index] !== undefined) this.visit(index * REGION_PAGES, REGION_PAGES, fn);
    }
    for (const index of [...this.#far.keys()].sort((a, b) => a - b))
      this.visit(index * REGION_PAGES, REGION_PAGES, fn);
  }

  #find(index: number): Region | undefined {
    if (index === this.#lastIndex) return this.#last;
    const region = index < DENSE_REGIONS ? this.#dense[index] : this.#far.get(index);
    this.#lastIndex = index;
    this.#last = region;
    return region;
  }

  #make(index: number): Region {
    const region = this.#pool.pop() ?? new Region();
    if (index < DENSE_REGIONS) {
      // The list stays dense: holes would turn it into a dictionary.
      while (this.#dense.length < index) this.#dense.push(undefined);
      this.#dense[index] = region;
    } else {
      this.#far.set(index, region);
    }
    this.#lastIndex = index;
    this.#last = region;
    return region;
  }

  #drop(index: number, region: Region): void {
    region.split = false;
    region.flags = 0;
    region.link = 0;
    region.used = 0;
    this.#pool.push(region);
    if (index < DENSE_REGIONS) this.#dense[index] = undefined;
    else this.#far.delete(index);
    this.#lastIndex = index;
    this.#last = undefined;
  }
}

function changePart(region: Region, first: number, slots: number, keep: number, set: number): void {
  split(region);
  const { flagsOf } = region;
  let used = region.used;
  for (let i = first, n = slots; n > 0; i++, n--) {
    const old = flagsOf[i]!;
    const now = (old & keep) | set;
    flagsOf[i] = now;
    if (old === 0) {
      if (now !== 0) used++;
    } else if (now === 0) used--;
  }
  region.used = used;
}

function unmapPart(region: Region, first: number, slots: number, leaves: PageCounts): number {
  const { flagsOf, pfnOf } = region;
  let cleared = 0;
  let runPfn = 0;
  let run = 0;
  for (let i = first, n = slots; n > 0; i++, n--) {
    const old = flagsOf[i]!;
    if ((old & PRESENT) === 0) continue;
    flagsOf[i] = (old & ~(PRESENT | ORPHAN)) | STALE;
    cleared++;
    const pfn = pfnOf[i]!;
    if (pfn === runPfn + run) {
      run++;
      continue;
    }
    if (run > 0) leaves.add(runPfn, run, -1);
    runPfn = pfn;
    run = 1;
  }
  if (run > 0) leaves.add(runPfn, run, -1);
  return cleared;
}

/** Give every slot of a region its own element. */
function split(region: Region): void {
  if (region.split) return;
  region.split = true;
  if (region.flagsOf.length === 0) {
    region.flagsOf = new Uint8Array(REGION_PAGES);
    region.linkOf = new Int32Array(REGION_PAGES);
    region.pfnOf = new Float64Array(REGION_PAGES);
  }
  region.flagsOf.fill(region.flags);
  region.used = region.flags === 0 ? 0 : REGION_PAGES;
  if (region.flags === 0) return;
  region.linkOf.fill(region.link);
  for (let i = 0; i < REGION_PAGES; i++) region.pfnOf[i] = region.pfn + i;
}
