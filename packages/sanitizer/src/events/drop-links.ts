import type { DeviceShadow } from '../shadow/device-shadow.ts';
import type { Frames } from '../shadow/frames.ts';
import { inlineKind } from '../shadow/inline-link.ts';
import { BOUNCED, LINKED, ORPHAN, PRESENT, SYNCED } from '../shadow/slot-flags.ts';
import { changeFlags, changeFlagsWhere } from '../shadow/slot-ranges.ts';
import { visitSlots } from '../shadow/slot-visit.ts';
import { countFrames } from './count-frames.ts';

/** The program has ended what is mapped in a range; leaves that are still there are orphans from now on. */
export function dropLinks(frames: Frames, device: DeviceShadow, firstPage: number, pages: number): void {
  const { slots, mappings, reservations } = device;
  let present = 0;
  let own = true;
  visitSlots(slots, firstPage, pages, (page, n, flags, link) => {
    present |= flags & PRESENT;
    if ((flags & LINKED) === 0) return;
    if (link < 0) {
      // A mapping of its own keeps its record until its own unmap.
      if (inlineKind(link) !== 'link') own = false;
      else reservations.linked[device.reservationHolding(page)]!--;
      return;
    }
    const owner = mappings.reservation(link);
    if (owner === 0) {
      own = false;
      return;
    }
    reservations.linked[owner]! -= n;
    if (mappings.alive(link) > n) {
      mappings.drop(link, n);
      return;
    }
    if (!device.plain) countFrames(frames, device, link, -1);
    mappings.release(link);
  });
  if (present !== 0) changeFlagsWhere(slots, firstPage, pages, PRESENT, 0, ORPHAN);
  if (own) {
    changeFlags(slots, firstPage, pages, LINKED | SYNCED | BOUNCED, 0);
    return;
  }
  visitSlots(slots, firstPage, pages, (page, n, flags, link) => {
    const isOther = link > 0 ? mappings.reservation(link) === 0 : inlineKind(link) !== 'link';
    if ((flags & LINKED) === 0 || !isOther) changeFlags(slots, page, n, LINKED | SYNCED | BOUNCED, 0);
  });
}
