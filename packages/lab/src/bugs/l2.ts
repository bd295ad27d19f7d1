import { DMA_ATTR_MMIO } from '@gpusvm/dma-iova';
import { type Bug, translated } from './bug.ts';
import { Vector } from './users/vector-mapper.ts';

const MMIO = 2 ** 40;

/** dma_buf_phys_vec_to_sgt links every vector at offset 0. Half of V3; still there in 7.3.4. */
export const L2: Bug = {
  id: 'L2',
  title: 'every vector of a dma-buf is linked at offset 0',
  source: 'torvalds 0b9828c7231e, open',
  evidence: 'read',
  rules: translated('I2'),
  patch(w) {
    const { link } = w.dma;
    w.dma.link = (dev, state, phys, _offset, size, dir, attrs) => link(dev, state, phys, 0, size, dir, attrs);
  },
  trigger(w) {
    const v = new Vector();
    v.attrs = DMA_ATTR_MMIO;
    v.segments = [MMIO, MMIO + 2 ** 24].map((physBytes) => ({ physBytes, sizeBytes: 8192 }));
    if (w.vectors.map(w.dma, w.dev, v) === 0) w.vectors.unmap(w.dma, w.dev, v);
  },
};
