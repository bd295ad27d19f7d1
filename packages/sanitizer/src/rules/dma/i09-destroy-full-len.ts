import type { DmaRule } from '../../rule.ts';

/**
 * I9. The allocator finds a range by its first page and picks the cache bin by the length it is told. Generation 1 of
 * `dma_iova_destroy` (6.16 to 7.2) frees what mapped_len covers: up to 32 pages the range then sits in a smaller bin
 * and its tail is lost until that magazine is flushed (iova.c; fixed by 1acce29926d9).
 */
export const DESTROY_FULL_LEN: DmaRule = {
  id: 'I9',
  name: 'DESTROY_FULL_LEN',
  statement: 'a reservation is freed with the length it was made with',
  checks: {
    free(op, found) {
      const { reservations } = op.device;
      const id = op.reservation;
      if (id === 0 || reservations.pages[id] === op.pages) return;
      const lost = reservations.pages[id]! - op.pages;
      const effect =
        reservations.pages[id]! <= 32
          ? `${lost} pages sit in a smaller cache bin`
          : 'the length is ignored above 32 pages';
      found.report(
        DESTROY_FULL_LEN,
        op,
        `a reservation of ${reservations.pages[id]} pages is freed as ${op.pages}: ${effect}`,
      );
    },
  },
};
