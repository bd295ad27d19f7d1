import type { DmaRule } from '../../rule.ts';
import { LINKED, SYNCED } from '../../shadow/slot-flags.ts';
import { inFailedLink } from './i26-map-err-checked.ts';

/**
 * I5. A device may use a slot only after a sync that covers it (core-api/dma-api.rst). Most IOMMUs get away without;
 * in caching mode, with NpCache, on virtio, s390 and mtk, and for CPU caches since 7.3 it matters. An access that
 * ends in a DMA fault because nothing is linked is the same mistake one step earlier.
 */
export const SYNC_BEFORE_USE: DmaRule = {
  id: 'I5',
  name: 'SYNC_BEFORE_USE',
  statement: 'a device accesses a slot only after a sync that covers it since its link',
  checks: {
    access(op, found) {
      const flags = op.device.slots.flagsAt(op.firstPage);
      if ((flags & (LINKED | SYNCED)) !== LINKED || op.reservation === 0) return;
      if (op.device.reservations.syncs[op.reservation] !== 0) return;
      found.report(SYNC_BEFORE_USE, op, `${kind(op.write)} of a slot that was never synced since its link`, {
        survivors: op.mapping === null ? [] : [found.mapping(op.device, op.mapping)],
      });
    },
    fault(op, found) {
      if (op.reason !== 'not present' || !op.device.complete) return;
      const reservation = op.device.reservationHolding(op.firstPage);
      if (reservation !== 0 && inFailedLink(op.device, reservation, op.firstPage)) return;
      const what = reservation === 0 ? 'an address that nobody has reserved' : 'a slot that is not linked';
      found.report(SYNC_BEFORE_USE, op, `${kind(op.write)} of ${what}`, { reservation });
    },
  },
};

function kind(write: boolean): string {
  return write ? 'device write' : 'device read';
}
