import type { DmaRule } from '../../rule.ts';

/**
 * I27. A device that goes has no reservation and no mapping left (dma-debug: "device driver has pending DMA
 * allocations while released from device"). Each leak is reported with the one who made it.
 */
export const RELEASE_CLEAN: DmaRule = {
  id: 'I27',
  name: 'RELEASE_CLEAN',
  statement: 'nothing is reserved or mapped when a device is released',
  checks: {
    release(op, found) {
      const { device } = op;
      const { reservations, mappings } = device;
      reservations.forEach((reservation) => {
        const linked = reservations.linked[reservation]!;
        found.report(RELEASE_CLEAN, op, `a reservation was never freed, ${linked} of its pages are linked`, {
          reservation,
          firstPage: reservations.firstPage[reservation]!,
          pages: reservations.pages[reservation]!,
        });
      });
      mappings.forEach((id) => {
        if (mappings.reservation(id) !== 0) return;
        found.report(RELEASE_CLEAN, op, 'a mapping was never undone', {
          firstPage: mappings.firstPage(id),
          pages: mappings.pages(id),
          survivors: [found.mapping(device, id)],
        });
      });
    },
  },
};
