import { DMA_ATTR_MMIO } from '@gpusvm/dma-iova';
import { type Bug, translated } from './bug.ts';
import { Vector } from './users/vector-mapper.ts';

const MMIO = 2 ** 40;

/**
 * A length of 4 GiB or more is kept in 32 bits. Of the other three CVEs of the row the order of teardown is V4b; a
 * missing lock and a double unpin happen above this layer.
 */
export const V4: Bug = {
  id: 'V4',
  title: 'a block of 4 GiB or more is linked with a 32-bit length',
  source: 'CVE-2026-53133 (iommufd)',
  evidence: 'read',
  rules: translated('I6'),
  patch(w) {
    const { link } = w.dma;
    w.dma.link = (dev, state, phys, offset, size, dir, attrs) =>
      link(dev, state, phys, offset, size >>> 0, dir, attrs);
  },
  trigger(w) {
    const v = new Vector();
    v.attrs = DMA_ATTR_MMIO;
    v.segments = [{ physBytes: MMIO, sizeBytes: 2 ** 32 + 2 ** 21 }];
    if (w.vectors.map(w.dma, w.dev, v) === 0) w.vectors.unmap(w.dma, w.dev, v);
  },
};
