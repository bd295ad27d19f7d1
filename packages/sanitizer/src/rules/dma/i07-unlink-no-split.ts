import type { DmaOp } from '../../op.ts';
import type { DmaRule } from '../../rule.ts';
import { leafAt, type PageRun } from '../../shadow/leaves.ts';
import { BOUNCED, LINKED } from '../../shadow/slot-flags.ts';
import { cutLink } from './cut-link.ts';

/**
 * I7. A leaf is never divided: an unlink that starts inside one clears nothing, one that ends inside removes it
 * whole, so that neighbours lose their mapping (generic_pt; test unmap_split). "Large" starts at 8 KiB on AMD.
 * Which leaves there are follows from the link alone: the biggest sizes that fit, position by position.
 */
export const UNLINK_NO_SPLIT: DmaRule = {
  id: 'I7',
  name: 'UNLINK_NO_SPLIT',
  statement: 'the ends of an unlink do not fall inside a leaf',
  checks: {
    unlink(op, found) {
      if (op.sizeBytes === 0) return;
      const start = leafCut(op, op.firstPage);
      const end = leafCut(op, op.firstPage + op.pages);
      const leaf = start ?? end;
      if (leaf === null) return;
      const where = start === null ? 'ends' : 'starts';
      found.report(UNLINK_NO_SPLIT, op, `an unlink ${where} inside a leaf of ${leaf.pages} pages`, {
        survivors: found.survivors(op, leaf.firstPage, leaf.pages, LINKED),
      });
    },
  },
};

/** The leaf that a page boundary would divide, or null. */
export function leafCut(op: DmaOp, page: number): PageRun | null {
  if (!cutLink(op, page)) return null;
  const { slots, leafOrders } = op.device;
  if ((slots.flagsAt(page) & BOUNCED) !== 0) return null;
  const link = op.device.mappingAtPage(page);
  if (link === null) return null;
  const pfn = op.device.pageAt(link.physBytes);
  const leaf = leafAt(link.firstPage, pfn, link.pages, leafOrders, page);
  return leaf.firstPage < page ? leaf : null;
}
