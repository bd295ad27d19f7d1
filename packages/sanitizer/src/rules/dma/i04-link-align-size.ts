import type { DmaRule } from '../../rule.ts';
import { LINKED } from '../../shadow/slot-flags.ts';

/**
 * I4. The size of every link but the one with the highest offset is a multiple of the page size
 * (core-api/dma-api.rst; `dma_get_merge_boundary`): its last page is mapped whole, so the next one cannot continue
 * where it ends.
 */
export const LINK_ALIGN_SIZE: DmaRule = {
  id: 'I4',
  name: 'LINK_ALIGN_SIZE',
  statement: 'only the link with the highest offset ends inside a page',
  checks: {
    link(op, found) {
      const id = op.reservation;
      if (id === 0 || op.pages <= 0) return;
      const { firstPage, pages, raggedEnd } = op.device.reservations;
      if (raggedEnd[id] !== 0 && op.firstPage + op.pages > raggedEnd[id]!) {
        const before = raggedEnd[id]! - 1;
        found.report(LINK_ALIGN_SIZE, op, 'a link behind one that ends inside a page', {
          survivors: found.survivors(op, before, 1, LINKED),
        });
        return;
      }
      if (op.device.offsetOf(op.addrBytes + op.offsetBytes + op.sizeBytes) === 0) return;
      const end = op.firstPage + op.pages;
      const rest = firstPage[id]! + pages[id]! - end;
      if (rest <= 0 || (op.device.slots.anyFlags(end, rest) & LINKED) === 0) return;
      found.report(LINK_ALIGN_SIZE, op, 'a link that ends inside a page below another link', {
        survivors: found.survivors(op, end, rest, LINKED),
      });
    },
  },
};
