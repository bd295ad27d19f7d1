import type { DmaRule } from '../../rule.ts';
import { LINKED } from '../../shadow/slot-flags.ts';

/**
 * I8. `dma_iova_destroy(mapped_len)` expects that exactly [0, mapped_len) is linked (its documentation). It never
 * looks behind mapped_len: what is linked there leaks in silence and meets the next owner of the addresses.
 */
export const DESTROY_PREFIX: DmaRule = {
  id: 'I8',
  name: 'DESTROY_PREFIX',
  statement: 'at destroy the linked slots are exactly the first mapped_len bytes',
  checks: {
    unlink(op, found) {
      if (op.reservation === 0 || op.firstHole < 0 || op.api !== 'dma_iova_destroy') return;
      found.report(
        DESTROY_PREFIX,
        op,
        `a destroy of ${op.sizeBytes} bytes across slots that are not linked`,
        {
          firstHole: op.firstHole,
        },
      );
    },
    free(op, found) {
      const { reservations } = op.device;
      const id = op.reservation;
      if (id === 0 || reservations.linked[id]! <= 0 || op.api !== 'dma_iova_destroy') return;
      const first = reservations.firstPage[id]!;
      const pages = reservations.pages[id]!;
      found.report(DESTROY_PREFIX, op, `a destroy leaves ${reservations.linked[id]} linked pages behind`, {
        firstPage: first,
        pages,
        survivors: found.survivors(op, first, pages, LINKED),
      });
    },
  },
};
