import { REGION_PAGES, regionOf } from './region.ts';
import { type SlotRegion, splitRegion } from './slot-region.ts';
import { LINKED, SYNCED } from './slot-flags.ts';
import type { Slots } from './slots.ts';

// V8 folds a module's own constants, not imported ones (docs/decisions/0002-hot-paths.md).
const OWN_LINKED = LINKED;
const OWN_REGION_PAGES = REGION_PAGES;

const LOW = OWN_REGION_PAGES - 1;

/** Change flags of a range: those in `clear` go, those in `set` come. */
export function changeFlags(
  slots: Slots,
  firstPage: number,
  pages: number,
  clear: number,
  set: number,
): void {
  const end = firstPage + pages;
  const keep = ~clear;
  for (let page = firstPage; page < end; ) {
    const index = regionOf(page);
    const stop = Math.min(end, (index + 1) * OWN_REGION_PAGES);
    let region = slots.find(index);
    if (region === undefined && set !== 0) region = slots.make(index);
    if (region !== undefined) {
      if (!region.split && stop - page === OWN_REGION_PAGES) region.flags = (region.flags & keep) | set;
      else changePart(region, page & LOW, stop - page, keep, set);
      slots.release(index, region);
    }
    page = stop;
  }
}

/** Change the flags of those slots of a range that have `when`. */
export function changeFlagsWhere(
  slots: Slots,
  firstPage: number,
  pages: number,
  when: number,
  clear: number,
  set: number,
): void {
  const end = firstPage + pages;
  const keep = ~clear;
  for (let page = firstPage; page < end; ) {
    const index = regionOf(page);
    const stop = Math.min(end, (index + 1) * OWN_REGION_PAGES);
    const region = slots.find(index);
    if (region !== undefined) {
      if (!region.split && stop - page === OWN_REGION_PAGES) {
        if ((region.flags & when) !== 0) region.flags = (region.flags & keep) | set;
      } else {
        splitRegion(region);
        const { flagsOf } = region;
        for (let i = page & LOW, n = stop - page; n > 0; i++, n--) {
          const old = flagsOf[i]!;
          if ((old & when) === 0) continue;
          const now = (old & keep) | set;
          flagsOf[i] = now;
          if (now === 0) region.used--;
        }
      }
      slots.release(index, region);
    }
    page = stop;
  }
}

/** A sync covers a range: what is linked there is synced. */
export function syncSlots(slots: Slots, firstPage: number, pages: number): void {
  const end = firstPage + pages;
  for (let page = firstPage; page < end; ) {
    const index = regionOf(page);
    const stop = Math.min(end, (index + 1) * OWN_REGION_PAGES);
    const region = slots.find(index);
    if (region !== undefined) {
      if (!region.split && stop - page === OWN_REGION_PAGES) {
        if ((region.flags & OWN_LINKED) !== 0) region.flags |= SYNCED;
      } else {
        splitRegion(region);
        syncPart(region, page & LOW, (page & LOW) + (stop - page));
      }
    }
    page = stop;
  }
}

function syncPart({ flagsOf, flagWords }: SlotRegion, first: number, end: number): void {
  // SYNCED is the bit above LINKED; four slots at once.
  let i = first;
  for (; i < end && (i & 3) !== 0; i++) flagsOf[i]! |= (flagsOf[i]! & OWN_LINKED) << 1;
  for (; i + 4 <= end; i += 4) flagWords[i >> 2]! |= (flagWords[i >> 2]! & (OWN_LINKED * 0x01010101)) << 1;
  for (; i < end; i++) flagsOf[i]! |= (flagsOf[i]! & OWN_LINKED) << 1;
}

/**
 * Set the flags of a range whose slots have equal flags, not 0, to other ones without OWN_LINKED, PRESENT and STALE. A
 * region that is covered whole is one record again.
 */
export function levelFlags(slots: Slots, firstPage: number, pages: number, flags: number): void {
  const end = firstPage + pages;
  for (let page = firstPage; page < end; ) {
    const index = regionOf(page);
    const stop = Math.min(end, (index + 1) * OWN_REGION_PAGES);
    const region = slots.make(index);
    if (stop - page === OWN_REGION_PAGES) {
      region.split = false;
      region.flags = flags;
    } else {
      splitRegion(region);
      region.flagsOf.fill(flags, page & LOW, (page & LOW) + (stop - page));
      if (flags === 0) region.used -= stop - page;
    }
    slots.release(index, region);
    page = stop;
  }
}

function changePart(region: SlotRegion, first: number, slots: number, keep: number, set: number): void {
  splitRegion(region);
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
