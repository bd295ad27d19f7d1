import type { DmaOp } from '../../op.ts';
import type { DmaRule } from '../../rule.ts';
import { LINKED, ORPHAN, PRESENT } from '../../shadow/slot-flags.ts';
import { cutLink } from './cut-link.ts';
import { leafCut } from './i07-unlink-no-split.ts';

/**
 * I6. An unlink covers whole links and nothing else. The kernel only warns that the number of bytes differs; where
 * the page table stops at a hole, everything behind it stays mapped (`__iommu_dma_iova_unlink`; thread of RFC v3
 * 04/11). Backends that step over holes hide it, so the contract is checked, not the outcome.
 */
export const UNLINK_EXACT: DmaRule = {
  id: 'I6',
  name: 'UNLINK_EXACT',
  statement: 'an unlink range is a union of whole links of its reservation',
  checks: {
    unlink(op, found) {
      if (op.reservation === 0) return;
      if (op.sizeBytes === 0) {
        found.report(UNLINK_EXACT, op, 'an unlink of size 0');
        return;
      }
      if (op.firstHole >= 0) {
        if (op.foreignPages === 0 && op.api === 'dma_iova_with_holes_destroy') return;
        const end = op.firstPage + op.pages;
        const missing = op.pages - op.linkedPages - op.foreignPages;
        const foreign = op.foreignPages === 0 ? '' : `, ${op.foreignPages} pages belong to another mapping`;
        found.report(
          UNLINK_EXACT,
          op,
          `an unlink of ${op.pages} pages meets ${missing} that are not linked${foreign}`,
          {
            firstHole: op.firstHole,
            survivors: found.survivors(op, op.firstHole, end - op.firstHole, PRESENT | ORPHAN),
          },
        );
        return;
      }
      const part = cutLink(op, op.firstPage) || cutLink(op, op.firstPage + op.pages);
      if (!part || splitsLeaf(op)) return;
      found.report(UNLINK_EXACT, op, 'an unlink of a part of a link', {
        survivors: found.survivors(op, op.firstPage - 1, op.pages + 2, LINKED),
      });
    },
  },
};

/** Rule I7 says it more precisely then. */
function splitsLeaf(op: DmaOp): boolean {
  return leafCut(op, op.firstPage) !== null || leafCut(op, op.firstPage + op.pages) !== null;
}
