import type { DmaRule } from '../../rule.ts';
import { LINKED } from '../../shadow/slots.ts';
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
      const { leaves, others } = found.frames;
      const end = op.firstPage + op.pages;
      const direct = others.firstNonZero(op.firstPage, op.pages);
      if (direct >= 0) {
        for (const device of found.devices()) {
          const { mappings } = device;
          mappings.forEach((id) => {
            const first = Math.floor(mappings.physBytes(id) / 4096);
            if (first >= end || first + mappings.pages(id) <= op.firstPage) return;
            op.device = device;
            found.report(UNLINKED_BEFORE_PAGE_FREE, op, `page frame ${direct} is freed while it is mapped`, {
              firstPage: mappings.firstPage(id),
              pages: mappings.pages(id),
              survivors: [found.mapping(device, id)],
            });
          });
        }
        return;
      }
      const pfn = leaves.firstNonZero(op.firstPage, op.pages);
      const slot = pfn >= 0 ? deviceMapping(found, pfn, 1) : null;
      if (slot !== null && (slot.flags & LINKED) !== 0) {
        op.device = slot.device;
        found.report(UNLINKED_BEFORE_PAGE_FREE, op, `page frame ${pfn} is freed while it is linked`, {
          reservation: slot.device.mappings.reservation(slot.mapping),
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
