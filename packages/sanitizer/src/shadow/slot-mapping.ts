import type { Frames } from './frames.ts';
import { REGION_PAGES, regionOf } from './region.ts';
import { LINKED, ORPHAN, PRESENT, STALE, SYNCED } from './slot-flags.ts';
import { type SlotRegion, splitRegion } from './slot-region.ts';
import type { Slots } from './slots.ts';

const LOW = REGION_PAGES - 1;

/** The page table maps a range to consecutive frames. */
export function mapSlots(slots: Slots, firstPage: number, pages: number, pfn: number): void {
  const end = firstPage + pages;
  for (let page = firstPage; page < end; ) {
    const index = regionOf(page);
    const stop = Math.min(end, (index + 1) * REGION_PAGES);
    const region = slots.make(index);
    const first = pfn + (page - firstPage);
    if (!region.split && stop - page === REGION_PAGES) {
      region.pfn = first;
      region.flags |= PRESENT;
    } else {
      splitRegion(region);
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

/** A mapping takes a range; it has to be synced first. */
export function linkSlots(slots: Slots, firstPage: number, pages: number, link: number, call: number): void {
  const end = firstPage + pages;
  for (let page = firstPage; page < end; ) {
    const index = regionOf(page);
    const stop = Math.min(end, (index + 1) * REGION_PAGES);
    const region = slots.make(index);
    if (!region.split && stop - page === REGION_PAGES) {
      region.link = link;
      region.call = call;
      region.flags = (region.flags & ~(SYNCED | ORPHAN)) | LINKED;
    } else {
      splitRegion(region);
      const { flagsOf, linkOf, callOf } = region;
      for (let i = page & LOW, n = stop - page; n > 0; i++, n--) {
        if (flagsOf[i] === 0) region.used++;
        flagsOf[i] = (flagsOf[i]! & ~(SYNCED | ORPHAN)) | LINKED;
        linkOf[i] = link;
        callOf[i] = call;
      }
    }
    page = stop;
  }
}

/** What {@link unmapSlots} found. One object a device, reused. */
export class ClearedSlots {
  firstPage = -1;
  pages = 0;
  /** Entries that were present. */
  present = 0;
  /** Union and intersection of the flags, as they are afterwards. */
  any = 0;
  all = 0;
  /** What all slots are mapped by; 0 when they differ. */
  link = 0;
}

/**
 * The page table clears a range: entries that were present wait for their invalidation from now on.
 *
 * @param frames - where each entry gives its reference back.
 * @param out - what was there.
 */
export function unmapSlots(
  slots: Slots,
  firstPage: number,
  pages: number,
  frames: Frames,
  out: ClearedSlots,
): void {
  const end = firstPage + pages;
  out.firstPage = firstPage;
  out.pages = pages;
  out.present = 0;
  out.any = 0;
  out.all = 255;
  out.link = slots.linkAt(firstPage);
  for (let page = firstPage; page < end; ) {
    const index = regionOf(page);
    const stop = Math.min(end, (index + 1) * REGION_PAGES);
    const region = slots.find(index);
    if (region === undefined) {
      out.all = 0;
    } else if (!region.split && stop - page === REGION_PAGES) {
      if ((region.flags & PRESENT) !== 0) {
        region.flags = (region.flags & ~(PRESENT | ORPHAN)) | STALE;
        frames.addLeaves(region.pfn, REGION_PAGES, -1);
        out.present += REGION_PAGES;
      }
      out.any |= region.flags;
      out.all &= region.flags;
      if (region.link !== out.link) out.link = 0;
    } else {
      splitRegion(region);
      unmapPart(region, page & LOW, stop - page, frames, out);
    }
    page = stop;
  }
}

function unmapPart(
  region: SlotRegion,
  first: number,
  count: number,
  frames: Frames,
  out: ClearedSlots,
): void {
  const { flagsOf, pfnOf, linkOf } = region;
  const end = first + count;
  const common = out.link;
  let { any, all } = out;
  let differ = 0;
  let present = 0;
  let runPfn = 0;
  let run = 0;
  for (let i = first; i < end; i++) {
    const old = flagsOf[i]!;
    differ |= linkOf[i]! ^ common;
    if ((old & PRESENT) === 0) {
      any |= old;
      all &= old;
      continue;
    }
    const now = (old & ~(PRESENT | ORPHAN)) | STALE;
    any |= now;
    all &= now;
    flagsOf[i] = now;
    present++;
    const pfn = pfnOf[i]!;
    if (pfn === runPfn + run) {
      run++;
      continue;
    }
    if (run > 0) frames.addLeaves(runPfn, run, -1);
    runPfn = pfn;
    run = 1;
  }
  if (run > 0) frames.addLeaves(runPfn, run, -1);
  out.any = any;
  out.all = all;
  out.present += present;
  if (differ !== 0) out.link = 0;
}
