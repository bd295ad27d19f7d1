import { DMA_ATTR_MMIO, DMA_ATTR_SKIP_CPU_SYNC } from '@gpusvm/dma-iova';
import type { DmaOp } from './op.ts';
import type { Findings } from './rule.ts';
import { BOUNCED, LINKED, PRESENT, SYNCED } from './shadow/slots.ts';

/** Attributes that link and unlink have to agree on (invariant I17). */
export const PAIRED_ATTRS: number = DMA_ATTR_MMIO | DMA_ATTR_SKIP_CPU_SYNC;

/**
 * One pass over the slots of an unlink, before the shadow changes: fills the fields of the operation that the rules
 * on unlinks read.
 */
export function scanUnlink(op: DmaOp, found: Findings): void {
  const { slots, mappings } = op.device;
  op.linkedPages = 0;
  op.foreignPages = 0;
  op.firstHole = -1;
  op.mismatched = 0;
  op.unsyncedOfOther = 0;
  op.bouncedPages = 0;
  op.presentPages = 0;
  let known = -1;
  let own = false;
  const task = found.machine.scheduler.current?.id ?? 0;
  slots.visit(op.firstPage, op.pages, (page, pages, flags, link) => {
    if ((flags & PRESENT) !== 0) op.presentPages += pages;
    if ((flags & LINKED) !== 0 && link !== known) {
      known = link;
      own = mappings.reservation(link) === op.reservation;
      if (
        own &&
        (mappings.dir(link) !== op.dir || ((mappings.attrs(link) ^ op.attrs) & PAIRED_ATTRS) !== 0)
      ) {
        if (op.mismatched === 0) op.mismatched = link;
      }
      if ((flags & SYNCED) === 0 && mappings.task(link) !== task) op.unsyncedOfOther = link;
    }
    if ((flags & LINKED) !== 0 && own) {
      op.linkedPages += pages;
      if ((flags & BOUNCED) !== 0) op.bouncedPages += pages;
      return;
    }
    if ((flags & LINKED) !== 0) op.foreignPages += pages;
    if (op.firstHole < 0) op.firstHole = page;
  });
}
