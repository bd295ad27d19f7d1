import type { DmaOp } from '../../op.ts';
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
      if (isInBounds(op)) return;
      const start = op.device.reservations.firstPage[op.reservation]!;
      const beyond = op.firstPage < start ? 'before its start' : 'beyond its end';
      found.report(LINK_IN_BOUNDS, op, `a link of ${op.sizeBytes} bytes reaches ${beyond}`);
    },
  },
};

/** Whether a link keeps inside of the reservation that it names. */
export function isInBounds({ device, reservation, firstPage, pages }: DmaOp): boolean {
  if (reservation === 0 || pages <= 0) return true;
  const first = device.reservations.firstPage[reservation]!;
  return firstPage >= first && firstPage + pages <= first + device.reservations.pages[reservation]!;
}
