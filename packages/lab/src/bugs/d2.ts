import { DMA_ATTR_MMIO } from '@gpusvm/dma-iova';
import { type Bug, translated } from './bug.ts';
import { Vector } from './users/vector-mapper.ts';

const MMIO = 2 ** 40;

/** The unlink of MMIO on a device that does not snoop forgets the attribute and maintains CPU caches of MMIO. */
export const D2: Bug = {
  id: 'D2',
  title: 'MMIO is unlinked without its attribute on a device that does not snoop',
  source: '1a96f3a22fd8 (6.18)',
  evidence: 'read',
  rules: translated('I17'),
  device: { coherent: false },
  patch(w) {
    const { destroy } = w.dma;
    w.dma.destroy = (dev, state, bytes, dir, attrs) =>
      destroy(dev, state, bytes, dir, attrs & ~DMA_ATTR_MMIO);
  },
  trigger(w) {
    const v = new Vector();
    v.segments = [{ physBytes: MMIO, sizeBytes: 65536 }];
    v.attrs = DMA_ATTR_MMIO;
    if (w.vectors.map(w.dma, w.dev, v) === 0) w.vectors.unmap(w.dma, w.dev, v);
  },
};
