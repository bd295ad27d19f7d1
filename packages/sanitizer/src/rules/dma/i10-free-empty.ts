import type { DmaRule } from '../../rule.ts';
import { LINKED } from '../../shadow/slot-flags.ts';

/** I10. `dma_iova_free` expects that everything was unlinked before (core-api/dma-api.rst); it does not look. */
export const FREE_EMPTY: DmaRule = {
  id: 'I10',
  name: 'FREE_EMPTY',
  statement: 'a reservation is freed with no linked slot',
  checks: {
    free(op, found) {
      const { reservations } = op.device;
      const id = op.reservation;
      // Inside of destroy rule I8 speaks.
      if (id === 0 || reservations.linked[id]! <= 0 || op.api === 'dma_iova_destroy') return;
      const first = reservations.firstPage[id]!;
      const pages = reservations.pages[id]!;
      found.report(FREE_EMPTY, op, `a reservation is freed with ${reservations.linked[id]} linked pages`, {
        firstPage: first,
        pages,
        survivors: found.survivors(op, first, pages, LINKED),
      });
    },
  },
};
