import type { DmaOp } from '../../op.ts';
import type { DmaRule, Findings } from '../../rule.ts';
import { LINKED, SYNCED } from '../../shadow/slot-flags.ts';
import { isAllowed } from './i18-perm.ts';

/**
 * I30. A sync lies inside its reservation, and what was linked is covered before the device is told (`dma_iova_sync`
 * looks at no entry, so a range that is too short goes unnoticed). The device's first access stands for the doorbell.
 */
export const SYNC_RANGE: DmaRule = {
  id: 'I30',
  name: 'SYNC_RANGE',
  statement: 'a sync stays inside its reservation and covers every link before the device uses it',
  checks: {
    sync(op, found) {
      const id = op.reservation;
      if (id === 0) return;
      const { firstPage, pages } = op.device.reservations;
      const end = firstPage[id]! + pages[id]!;
      if (op.firstPage >= firstPage[id]! && op.firstPage + op.pages <= end) return;
      found.report(SYNC_RANGE, op, 'a sync reaches beyond its reservation');
    },
    access: (op, found) => leftOut(op, found),
    fault(op, found) {
      if (op.reason !== 'no memory' && isAllowed(op)) leftOut(op, found);
    },
  },
};

function leftOut(op: DmaOp, found: Findings): void {
  const flags = op.device.slots.flagsAt(op.firstPage);
  if ((flags & (LINKED | SYNCED)) !== LINKED || op.reservation === 0) return;
  // Never synced at all is rule I5.
  if (op.device.reservations.syncs[op.reservation] === 0) return;
  found.report(SYNC_RANGE, op, 'a device uses a slot that the sync of its reservation did not cover', {
    survivors: op.mapping === null ? [] : [found.mapping(op.device, op.mapping)],
  });
}
