import type { DmaOp } from '../../op.ts';
import type { DmaRule, Findings } from '../../rule.ts';

/** I22. Reserved regions (MSI doorbells, direct mappings of firmware) are never handed out (`iova_reserve_iommu_regions`). */
export const RESERVED_RANGES: DmaRule = {
  id: 'I22',
  name: 'RESERVED',
  statement: 'no allocation touches a reserved region',
  checks: {
    alloc: (op, found) => check(op, found),
    map(op, found) {
      if (op.device.translated && op.err === 0) check(op, found);
    },
    mapList: (op, found) => check(op, found),
  },
};

function check(op: DmaOp, found: Findings): void {
  const { device } = op;
  if (device.device === null || !device.touchesReserved(op.firstPage, op.pages)) return;
  const regions = device.reserved.map((r) => `[0x${r.firstByte.toString(16)}, 0x${r.lastByte.toString(16)}]`);
  found.report(
    RESERVED_RANGES,
    op,
    `an address in a reserved region is handed out; reserved are ${regions.join(', ')}`,
  );
}
