import { DMA_FROM_DEVICE, DMA_NONE, DMA_TO_DEVICE } from '@gpusvm/dma-iova';
import type { DmaOp } from '../../op.ts';
import type { DmaRule, Findings } from '../../rule.ts';
import { WRITES } from '../../shadow/device-shadow.ts';

/**
 * I18. The direction is a permission (`dma_info_to_prot`). A translating IOMMU refuses the wrong access; without one
 * it goes through, and the ledger is all there is.
 */
export const PERM: DmaRule = {
  id: 'I18',
  name: 'PERM',
  statement: 'a device reads and writes only as the direction of the mapping allows',
  checks: {
    link(op, found) {
      if (op.dir === DMA_NONE) found.report(PERM, op, 'a link without a direction');
    },
    access: (op, found) => allowed(op, found),
    fault(op, found) {
      if (op.reason === 'permission') found.report(PERM, op, refused(op));
    },
  },
};

function allowed(op: DmaOp, found: Findings): void {
  const { device } = op;
  if (device.translated) {
    if (op.mapping === 0) return;
    const dir = device.mappings.dir(op.mapping);
    if (op.write ? dir !== DMA_TO_DEVICE : dir !== DMA_FROM_DEVICE) return;
  } else {
    if (!device.complete) return;
    const rights = device.rights.get(op.firstPage);
    // Not mapped at all is rule I16.
    if (rights === 0 || (op.write ? rights >= WRITES : rights % WRITES > 0)) return;
  }
  found.report(PERM, op, refused(op));
}

function refused(op: DmaOp): string {
  return `a device ${op.write ? 'writes to' : 'reads from'} a mapping whose direction forbids it`;
}
