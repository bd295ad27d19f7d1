import type { DmaOp } from '../../op.ts';
import type { DmaRule, Findings } from '../../rule.ts';

/**
 * I21. An address that is handed out lies below DMA mask, bus limit and aperture, and is never 0
 * (`iommu_dma_alloc_iova`, `alloc_iova`). Without a page table the same holds for the physical address.
 */
export const LIMIT: DmaRule = {
  id: 'I21',
  name: 'LIMIT',
  statement: 'an address lies within DMA mask, bus limit and aperture, and is not 0',
  checks: {
    alloc: (op, found) => check(op, found),
    map: (op, found) => check(op, found),
    mapList: (op, found) => check(op, found),
  },
};

function check(op: DmaOp, found: Findings): void {
  if (op.err !== 0) return;
  const last = op.firstPage + op.pages - 1;
  if (op.firstPage < 1) {
    found.report(LIMIT, op, 'page 0 is handed out');
    return;
  }
  const limit = op.device.limitPage;
  if (last <= limit) return;
  found.report(LIMIT, op, `0x${bytes(last)} is beyond the limit 0x${bytes(limit)}`);
}

/** Last byte of a page, hexadecimal. */
function bytes(page: number): string {
  return ((page + 1) * 4096 - 1).toString(16);
}
