import { DMA_FROM_DEVICE, DMA_NONE, DMA_TO_DEVICE } from '@gpusvm/dma-iova';
import type { DmaOp } from '../../op.ts';
import { permission } from '../../plain.ts';
import type { DmaRule, Findings } from '../../rule.ts';
import { allows } from '../../shadow/rights.ts';
import { LINKED, PRESENT } from '../../shadow/slot-flags.ts';
import { directRights } from './direct-rights.ts';

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
      else given(op, found);
    },
    map: (op, found) => given(op, found),
    mapList: (op, found) => given(op, found),
    access: (op, found) => allowed(op, found),
    fault(op, found) {
      if (op.reason !== 'permission' || isAllowed(op)) return;
      // Nothing is there at all: rule I5.
      if ((op.device.slots.flagsAt(op.firstPage) & (LINKED | PRESENT)) === 0 && op.device.complete) return;
      found.report(PERM, op, refused(op));
    },
  },
};

/** Whether the mapping at an access allows it. */
export function isAllowed({ mapping, write }: DmaOp): boolean {
  return mapping !== null && mapping.dir !== (write ? DMA_TO_DEVICE : DMA_FROM_DEVICE);
}

/** The page table allows what the direction says, no more and no less. */
function given(op: DmaOp, found: Findings): void {
  const { changes } = op.device;
  const end = op.firstPage + op.pages;
  if (op.err !== 0 || changes.count === 0 || changes.firstPage < op.firstPage || changes.endPage > end)
    return;
  const wanted = permission(op.dir);
  const all = changes.protAll & 3;
  const any = changes.protAny & 3;
  if (all === wanted && any === wanted) return;
  found.report(
    PERM,
    op,
    `a mapping with direction ${op.dir} allows the device ${ALLOWS[any === wanted ? all : any]}`,
  );
}

const ALLOWS = ['nothing', 'reads only', 'writes only', 'reads and writes'];

function allowed(op: DmaOp, found: Findings): void {
  const { device } = op;
  if (op.byBus) {
    if (!allows(device.busRights.get(op.firstPage), op.write)) found.report(PERM, op, refused(op));
    return;
  }
  if (device.translated) {
    if (op.mapping === null) return;
    if (isAllowed(op)) return;
  } else {
    if (!device.complete) return;
    const rights = directRights(device, op.firstPage);
    // Not mapped at all is rule I16.
    if (rights === 0 || allows(rights, op.write)) return;
  }
  found.report(PERM, op, refused(op));
}

function refused(op: DmaOp): string {
  return `a device ${op.write ? 'writes to' : 'reads from'} a mapping whose direction forbids it`;
}
