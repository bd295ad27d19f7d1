import type { DmaRule } from '../../rule.ts';

/**
 * I1. `dma_iova_link` has no bounds check: a link beyond the end of the reservation writes into a neighbour's IOVA
 * and is noticed only if that slot happens to be occupied (drivers/iommu/dma-iommu.c, 7.3.4).
 */
export const LINK_IN_BOUNDS: DmaRule = {
  id: 'I1',
  name: 'LINK_IN_BOUNDS',
  statement: 'a link, rounded up to pages, lies inside its reservation',
  checks: {
    link(op, found) {
      if (op.reservation === 0 || op.pages <= 0) return;
      const { firstPage, pages } = op.device.reservations;
      const end = firstPage[op.reservation]! + pages[op.reservation]!;
      if (op.firstPage >= firstPage[op.reservation]! && op.firstPage + op.pages <= end) return;
      const beyond = op.firstPage < firstPage[op.reservation]! ? 'before its start' : 'beyond its end';
      found.report(LINK_IN_BOUNDS, op, `a link of ${op.sizeBytes} bytes reaches ${beyond}`);
    },
  },
};
