import type { Frames } from './frames.ts';
import { REGION_PAGES, regionOf } from './region.ts';
import { LINKED, ORPHAN, PRESENT, STALE, SYNCED } from './slot-flags.ts';
import { flagsAre, type SlotRegion, splitRegion } from './slot-region.ts';
import type { Slots } from './slots.ts';

// V8 folds a module's own constants, not imported ones (docs/decisions/0002-hot-paths.md).
const OWN_PRESENT = PRESENT;
const OWN_ORPHAN = ORPHAN;
const OWN_STALE = STALE;
const OWN_REGION_PAGES = REGION_PAGES;

const LOW = OWN_REGION_PAGES - 1;

/** The page table maps a range to consecutive frames. */
export function mapSlots(slots: Slots, firstPage: number, pages: number, pfn: number): void {
  const end = firstPage + pages;
  for (let page = firstPage; page < end; ) {
    const index = regionOf(page);
    const stop = Math.min(end, (index + 1) * OWN_REGION_PAGES);
    const region = slots.make(index);
    const first = pfn + (page - firstPage);
    if (!region.split && stop - page === OWN_REGION_PAGES) {
      region.pfn = first;
      region.flags |= OWN_PRESENT;
    } else {
      splitRegion(region);
      const { flagsOf, pfnOf } = region;
      for (let i = page & LOW, n = stop - page, frame = first; n > 0; i++, n--, frame++) {
        if (flagsOf[i] === 0) region.used++;
        flagsOf[i]! |= OWN_PRESENT;
        pfnOf[i] = frame;
      }
    }
    page = stop;
  }
}

/**
 * The page table maps a range to consecutive frames, and a mapping takes it, in one go. All slots have the same flags
 * before, without LINKED, OWN_PRESENT and OWN_STALE.
 *
 * @param flags - of all slots afterwards.
 */
export function enterRange(
  slots: Slots,
  firstPage: number,
  pages: number,
  pfn: number,
  flags: number,
  link: number,
  call: number,
): void {
  const end = firstPage + pages;
  for (let page = firstPage; page < end; ) {
    const index = regionOf(page);
    const stop = Math.min(end, (index + 1) * OWN_REGION_PAGES);
    const region = slots.make(index);
    const first = pfn + (page - firstPage);
    if (!region.split && stop - page === OWN_REGION_PAGES) {
      region.flags = flags;
      region.link = link;
      region.call = call;
      region.pfn = first;
    } else {
      splitRegion(region);
      const from = page & LOW;
      const to = from + (stop - page);
      if (region.flagsOf[from] === 0) region.used += to - from;
      region.flagsOf.fill(flags, from, to);
      region.linkOf.fill(link, from, to);
      region.callOf.fill(call, from, to);
      const { pfnOf } = region;
      for (let i = from, frame = first; i < to; i++, frame++) pfnOf[i] = frame;
    }
    page = stop;
  }
}

/** A mapping takes a range; it has to be synced first. */
export function linkSlots(slots: Slots, firstPage: number, pages: number, link: number, call: number): void {
  const end = firstPage + pages;
  for (let page = firstPage; page < end; ) {
    const index = regionOf(page);
    const stop = Math.min(end, (index + 1) * OWN_REGION_PAGES);
    const region = slots.make(index);
    if (!region.split && stop - page === OWN_REGION_PAGES) {
      region.link = link;
      region.call = call;
      region.flags = (region.flags & ~(SYNCED | OWN_ORPHAN)) | LINKED;
    } else {
      splitRegion(region);
      const { flagsOf, linkOf, callOf } = region;
      for (let i = page & LOW, n = stop - page; n > 0; i++, n--) {
        if (flagsOf[i] === 0) region.used++;
        flagsOf[i] = (flagsOf[i]! & ~(SYNCED | OWN_ORPHAN)) | LINKED;
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
    const stop = Math.min(end, (index + 1) * OWN_REGION_PAGES);
    const region = slots.find(index);
    if (region === undefined) {
      out.all = 0;
    } else if (!region.split && stop - page === OWN_REGION_PAGES) {
      if ((region.flags & OWN_PRESENT) !== 0) {
        region.flags = (region.flags & ~(OWN_PRESENT | OWN_ORPHAN)) | OWN_STALE;
        frames.addLeaves(region.pfn, OWN_REGION_PAGES, -1);
        out.present += OWN_REGION_PAGES;
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
  let before = flagsOf[first]!;
  let differ = 0;
  for (let i = first; i < end; i++) differ |= linkOf[i]! ^ common;
  if (differ !== 0) out.link = 0;
  if ((before & OWN_PRESENT) !== 0 && flagsAre(region, first, end, before)) {
    const now = (before & ~(OWN_PRESENT | OWN_ORPHAN)) | OWN_STALE;
    flagsOf.fill(now, first, end);
    frames.dropEach(pfnOf, first, end);
    out.any |= now;
    out.all &= now;
    out.present += count;
    return;
  }
  for (let i = first; i < end; i++) {
    before = flagsOf[i]!;
    let now = before;
    if ((before & OWN_PRESENT) !== 0) {
      now = (before & ~(OWN_PRESENT | OWN_ORPHAN)) | OWN_STALE;
      flagsOf[i] = now;
      frames.addLeaves(pfnOf[i]!, 1, -1);
      out.present++;
    }
    out.any |= now;
    out.all &= now;
  }
}
