import type { Bug } from './bug.ts';
import { Vector } from './users/vector-mapper.ts';

/** Whether anything has to be unmapped is decided before the first segment, when nothing has been bounced yet. */
export const BLK3: Bug = {
  id: 'BLK3',
  title: 'the need for an unmap is decided before bouncing starts',
  source: '071be3b0b657',
  evidence: 'read',
  rules: { swiotlb: 'I19' },
  patch(w) {
    const { unmapEach } = w.vectors;
    const bouncedBefore = w.dev.swiotlb !== null && w.dev.swiotlb.live > 0;
    w.vectors.unmapEach = (dma, dev, v) => {
      if (dev.mode === 'swiotlb' && !bouncedBefore) v.mapped = [];
      else unmapEach(dma, dev, v);
    };
  },
  trigger(w) {
    const pfn = w.alloc(1);
    const v = new Vector();
    v.mergeable = false;
    v.dir = 1;
    v.segments = [
      { physBytes: pfn * 4096, sizeBytes: 4096 },
      { physBytes: (pfn + 1) * 4096, sizeBytes: 512 },
    ];
    if (w.vectors.map(w.dma, w.dev, v) === 0) w.vectors.unmap(w.dma, w.dev, v);
  },
};
