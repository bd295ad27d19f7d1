import { DMA_ATTR_MMIO, DMA_ATTR_SKIP_CPU_SYNC } from '@gpusvm/dma-iova';
import type { DmaOp } from './op.ts';
import type { Findings } from './rule.ts';
import { inlineKind } from './shadow/inline-link.ts';
import { BOUNCED, LINKED, PRESENT, SYNCED } from './shadow/slot-flags.ts';
import { visitSlots } from './shadow/slot-visit.ts';

/** Attributes that link and unlink have to agree on (invariant I17). */
export const PAIRED_ATTRS: number = DMA_ATTR_MMIO | DMA_ATTR_SKIP_CPU_SYNC;

/**
 * One pass over the slots of an unlink, before the shadow changes: fills the fields of the operation that the rules
 * on unlinks read.
 */
export function scanUnlink(op: DmaOp, found: Findings): void {
  const { device } = op;
  const { slots, reservations } = device;
  op.linkedPages = 0;
  op.foreignPages = 0;
  op.firstHole = -1;
  op.mismatched = null;
  op.unsyncedOfOther = null;
  op.bounces = 0;
  op.presentPages = 0;
  let known = 0;
  let own = false;
  const start = reservations.firstPage[op.reservation]!;
  const end = op.reservation === 0 ? start : start + reservations.pages[op.reservation]!;
  const task = found.machine.scheduler.current?.id ?? 0;
  visitSlots(slots, op.firstPage, op.pages, (page, pages, flags, link) => {
    if ((flags & PRESENT) !== 0) op.presentPages += pages;
    if ((flags & LINKED) === 0) {
      if (op.firstHole < 0) op.firstHole = page;
      return;
    }
    if (link < 0 || link !== known) {
      known = link;
      own =
        link > 0
          ? device.mappings.reservation(link) === op.reservation && op.reservation !== 0
          : inlineKind(link) === 'link' && page >= start && page < end;
      const mapping = device.mapping(link, page);
      if (own && (mapping.dir !== op.dir || ((mapping.attrs ^ op.attrs) & PAIRED_ATTRS) !== 0))
        op.mismatched ??= mapping;
      if ((flags & SYNCED) === 0 && mapping.task !== task) op.unsyncedOfOther = mapping;
    }
    if (own) {
      op.linkedPages += pages;
      if ((flags & BOUNCED) !== 0) op.bounces += pages / device.granulePages;
      return;
    }
    op.foreignPages += pages;
    if (op.firstHole < 0) op.firstHole = page;
  });
}
