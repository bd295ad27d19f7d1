import type { DmaOp } from '../../op.ts';
import type { DmaRule, Findings } from '../../rule.ts';
import { LINKED, PRESENT, SYNCED } from '../../shadow/slot-flags.ts';
import { isAllowed } from './i18-perm.ts';
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
      if ((flags & (LINKED | SYNCED)) === LINKED && op.reservation !== 0) neverSynced(op, found);
    },
    fault(op, found) {
      // The error value is rule I26.
      if (!op.device.complete || op.addrBytes < 0 || op.reason === 'no memory') return;
      const flags = op.device.slots.flagsAt(op.firstPage);
      if (isAllowed(op)) {
        if ((flags & SYNCED) !== 0) say(op, found, lost(flags));
        else if (op.reservation !== 0) neverSynced(op, found);
        return;
      }
      if ((flags & (LINKED | PRESENT)) !== 0 && op.reason !== 'not present') return;
      const reservation = op.device.reservationHolding(op.firstPage);
      if (reservation !== 0 && inFailedLink(op.device, reservation, op.firstPage)) return;
      const what = reservation === 0 ? 'an address that nobody has reserved' : 'a slot that is not linked';
      found.report(SYNC_BEFORE_USE, op, `${kind(op.write)} of ${what}`, { reservation });
    },
  },
};

/** What became of a slot that is linked and synced and cannot be used. */
function lost(flags: number): string {
  return (flags & PRESENT) === 0
    ? 'a slot that is linked and whose entry is gone'
    : 'a slot that the IOMMU remembers as it was before its link: its sync was lost on the way';
}

/** A sync that left the slot out is rule I30. */
function neverSynced(op: DmaOp, found: Findings): void {
  if (op.device.reservations.syncs[op.reservation] === 0)
    say(op, found, 'a slot that was never synced since its link');
}

function say(op: DmaOp, found: Findings, what: string): void {
  found.report(SYNC_BEFORE_USE, op, `${kind(op.write)} of ${what}`, {
    survivors: op.mapping === null ? [] : [found.mapping(op.device, op.mapping)],
  });
}

function kind(write: boolean): string {
  return write ? 'device write' : 'device read';
}
