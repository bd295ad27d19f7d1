import type { DmaRule, Findings } from '../../rule.ts';
import { LINKED } from '../../shadow/slot-flags.ts';
import type { DmaOp } from '../../op.ts';
import { deviceMapping, staleSlot } from './device-mapping.ts';

/**
 * I25. A page goes back to its owner only after its mapping was undone and invalidated. CVE-2026-93284 put the pages
 * of a failed migration before it unmapped them; without an IOMMU only a ledger of mappings shows it.
 */
export const UNLINKED_BEFORE_PAGE_FREE: DmaRule = {
  id: 'I25',
  name: 'UNLINKED_BEFORE_PAGE_FREE',
  statement: 'a page is freed only after every mapping of it was undone and invalidated',
  checks: {
    pageFree(op, found) {
      const { others } = found.frames;
      const end = op.firstPage + op.pages;
      if (others.firstNonZero(op.firstPage, op.pages) >= 0 || mappedDirectly(op, found)) {
        for (const device of found.devices()) {
          device.forEachMapping((mapping) => {
            const first = device.pageAt(mapping.physBytes);
            const behind = first + device.framesOf(mapping.physBytes, mapping.sizeBytes);
            if (first >= end || behind <= op.firstPage) return;
            op.device = device;
            const pfn = Math.max(first, op.firstPage);
            found.report(UNLINKED_BEFORE_PAGE_FREE, op, `page frame ${pfn} is freed while it is mapped`, {
              firstPage: mapping.firstPage,
              pages: mapping.pages,
              survivors: [found.mapping(device, mapping)],
            });
          });
        }
        return;
      }
      const pfn = found.frames.firstMapped(op.firstPage, op.pages);
      const slot = pfn >= 0 ? deviceMapping(found, pfn, 1) : null;
      if (slot !== null && slot.mapping !== null) {
        op.device = slot.device;
        found.report(UNLINKED_BEFORE_PAGE_FREE, op, `page frame ${pfn} is freed while it is linked`, {
          reservation: slot.mapping.reservation,
          firstPage: slot.page,
          pages: 1,
          survivors: [found.mapping(slot.device, slot.mapping)],
        });
        return;
      }
      const stale = staleSlot(found, op.firstPage, op.pages);
      if (stale === null) return;
      op.device = stale.device;
      found.report(
        UNLINKED_BEFORE_PAGE_FREE,
        op,
        'a page is freed before its unmapped slot was invalidated',
        {
          reservation: stale.device.reservationHolding(stale.page),
          firstPage: stale.page,
          pages: 1,
        },
      );
    },
  },
};

/** A device that is not translated has a page of the range mapped: its addresses are page frames. */
function mappedDirectly(op: DmaOp, found: Findings): boolean {
  for (const device of found.devices())
    if (!device.translated && (device.slots.anyFlags(op.firstPage, op.pages) & LINKED) !== 0) return true;
  return false;
}
