import { REGION_PAGES, regionOf } from './region.ts';
import { LINKED } from './slot-flags.ts';
import type { Slots } from './slots.ts';

const LOW = REGION_PAGES - 1;

/** Visitor of runs of slots that share their flags and what they are mapped by. */
export type SlotVisitor = (page: number, pages: number, flags: number, link: number) => void;

/** Visit a range as runs of equal flags and mapping, slots without state included. Inline mappings are one page each. */
export function visitSlots(slots: Slots, firstPage: number, pages: number, fn: SlotVisitor): void {
  const end = firstPage + pages;
  let from = firstPage;
  let flags = -1;
  let link = 0;
  for (let page = firstPage; page < end; ) {
    const index = regionOf(page);
    const stop = Math.min(end, (index + 1) * REGION_PAGES);
    const region = slots.find(index);
    const each = region !== undefined && region.split;
    for (let at = page; at < stop; at = each ? at + 1 : stop) {
      const f = region === undefined ? 0 : each ? region.flagsOf[at & LOW]! : region.flags;
      const l = (f & LINKED) === 0 ? 0 : each ? region.linkOf[at & LOW]! : region!.link;
      if (f === flags && l === link && l >= 0) continue;
      if (flags >= 0) fn(from, at - from, flags, link);
      from = at;
      flags = f;
      link = l;
    }
    page = stop;
  }
  if (flags >= 0) fn(from, end - from, flags, link);
}

/** Visit every region that has state, as runs, in address order. */
export function visitAllSlots(slots: Slots, fn: SlotVisitor): void {
  for (const index of slots.regions()) visitSlots(slots, index * REGION_PAGES, REGION_PAGES, fn);
}
