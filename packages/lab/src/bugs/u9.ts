import { DMA_ATTR_MMIO } from '@gpusvm/dma-iova';
import type { Bug } from './bug.ts';
import { Vector } from './users/vector-mapper.ts';

const MMIO = 2 ** 40;
const ENTRY_BYTES = 2 ** 32 - 4096;

/** A vector above the limit of one scatter-list entry is mapped once and unmapped in pieces. Candidate, 7.3.4. */
export const U9: Bug = {
  id: 'U9',
  title: 'a vector above 4 GiB is mapped once and unmapped in pieces',
  source: 'dma_buf_phys_vec_to_sgt, 7.3.4 (found by reading)',
  evidence: 'inferred',
  rules: { none: 'I17', strict: 'I17', lazy: 'I17' },
  patch(w) {
    const { unmapEach } = w.vectors;
    w.vectors.unmapEach = (dma, dev, v) => {
      v.mapped = v.mapped.flatMap(({ addrBytes, sizeBytes }) => {
        const pieces = [];
        for (let at = 0; at < sizeBytes; at += ENTRY_BYTES)
          pieces.push({ addrBytes: addrBytes + at, sizeBytes: Math.min(ENTRY_BYTES, sizeBytes - at) });
        return pieces;
      });
      unmapEach(dma, dev, v);
    };
  },
  trigger(w) {
    const v = new Vector();
    v.mergeable = false;
    v.attrs = DMA_ATTR_MMIO;
    v.segments = [{ physBytes: MMIO, sizeBytes: 5 * 2 ** 30 }];
    if (w.vectors.map(w.dma, w.dev, v) === 0) w.vectors.unmap(w.dma, w.dev, v);
  },
};
