import type { DmaOp } from '../../op.ts';
import type { DmaRule, Findings } from '../../rule.ts';
import type { DeviceShadow } from '../../shadow/device-shadow.ts';
import { isPeer } from './peer.ts';
import { LINKED, PRESENT, STALE } from '../../shadow/slot-flags.ts';
import { changeFlags } from '../../shadow/slot-ranges.ts';

/**
 * I13. Between the clearing of an entry and its invalidation a device can still use the cached translation. In a
 * strict domain that ends before the unmap returns; in a lazy one the addresses must not be handed out before the
 * flush (`fq_ring_free_locked`). CVE-2026-31735 invalidated less than an unmap inside a large leaf had cleared.
 */
export const NO_STALE_IOTLB: DmaRule = {
  id: 'I13',
  name: 'NO_STALE_IOTLB',
  statement:
    'no translation of an address is cached when it is handed out again (strict: once it is unmapped)',
  checks: {
    alloc: (op, found) => reuse(op, found),
    iommuMap: (op, found) => reuse(op, found),
    free(op, found) {
      const { device } = op;
      const id = op.reservation;
      if (id === 0 || queued(device, found)) return;
      const first = device.reservations.firstPage[id]!;
      const pages = device.reservations.pages[id]!;
      if ((device.slots.anyFlags(first, pages) & STALE) === 0) return;
      found.report(NO_STALE_IOTLB, op, 'a reservation is freed before its unmapped slots were invalidated', {
        firstPage: first,
        pages,
        survivors: found.survivors(op, first, pages, STALE),
      });
    },
    access(op, found) {
      const { device } = op;
      if (!device.translated || !device.sawMap || !device.complete || op.byBus) return;
      const flags = device.slots.flagsAt(op.firstPage);
      const current = (flags & PRESENT) !== 0;
      if (current && device.slots.pfnAt(op.firstPage) === op.pfn) return;
      if (!current && (flags & LINKED) !== 0) return;
      // Peers are reached through the switch without any translation; rule I16.
      if ((flags & (PRESENT | STALE)) === 0 && isPeer(device, op.pfn)) return;
      if (device.lazy && !current && (flags & STALE) !== 0 && !device.pending.isMissed(op.firstPage)) {
        device.lazyWindow++;
        return;
      }
      found.report(NO_STALE_IOTLB, op, `a device uses a translation to frame ${op.pfn} that was unmapped`);
    },
    release(op, found) {
      const { device } = op;
      device.pending.forEach((firstPage, pages, missed) => {
        if (device.lazy && !missed) return;
        found.report(NO_STALE_IOTLB, op, 'unmapped slots were never invalidated', { firstPage, pages });
      });
    },
  },
};

function reuse(op: DmaOp, found: Findings): void {
  if ((op.device.slots.anyFlags(op.firstPage, op.pages) & STALE) === 0) return;
  found.report(
    NO_STALE_IOTLB,
    op,
    'addresses are used again before their old translations were invalidated',
    {
      survivors: found.survivors(op, op.firstPage, op.pages, STALE),
    },
  );
  // Said once; the invalidation itself is still waited for.
  changeFlags(op.device.slots, op.firstPage, op.pages, STALE, 0);
}

/** A destroy of generation 1 leaves the invalidation of a lazy domain to the flush queue. */
function queued(device: DeviceShadow, found: Findings): boolean {
  return device.lazy && found.machine.profile.dma.destroyMode === 'queued-mapped-len';
}
