import { DMA_ATTR_MMIO } from '@gpusvm/dma-iova';
import { type Bug, translated } from './bug.ts';
import { Vector } from './users/vector-mapper.ts';

const MMIO = 2 ** 40;

/** The error path of dma_buf_phys_vec_to_sgt does nothing when the first link fails. Half of V3; open in 7.3.4. */
export const L3: Bug = {
  id: 'L3',
  title: 'the reservation leaks when the first link fails',
  source: 'torvalds 0b9828c7231e, open',
  evidence: 'read',
  rules: translated('I27'),
  patch(w) {
    const { destroy } = w.dma;
    w.dma.destroy = (dev, state, bytes, dir, attrs) => {
      if (bytes !== 0) destroy(dev, state, bytes, dir, attrs);
    };
  },
  trigger(w) {
    const v = new Vector();
    v.attrs = DMA_ATTR_MMIO;
    v.segments = [{ physBytes: MMIO, sizeBytes: 8192 }];
    w.machine.faultInjection.failNth('iommu.alloc_table', 1);
    if (w.vectors.map(w.dma, w.dev, v) === 0) w.vectors.unmap(w.dma, w.dev, v);
    w.machine.faultInjection.reset();
  },
};
