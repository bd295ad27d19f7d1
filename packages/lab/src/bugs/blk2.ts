import { type Bug, everywhere } from './bug.ts';
import { Vector } from './users/vector-mapper.ts';

/** Address and length change places in the unmap of a request without reservation: real data corruption. */
export const BLK2: Bug = {
  id: 'BLK2',
  title: 'address and length are swapped in an unmap',
  source: 'a54afbc8a213 (6.19-rc8)',
  evidence: 'read',
  rules: everywhere('I17'),
  patch(w) {
    w.vectors.unmapEach = (dma, dev, v) => {
      for (const { addrBytes, sizeBytes } of v.mapped)
        dma.unmapPhys(dev, sizeBytes, addrBytes, v.dir, v.attrs);
      v.mapped = [];
    };
  },
  trigger(w) {
    const pfn = w.alloc(1);
    const v = new Vector();
    v.mergeable = false;
    v.segments = [
      { physBytes: pfn * 4096, sizeBytes: 4096 },
      { physBytes: (pfn + 1) * 4096, sizeBytes: 4096 },
    ];
    if (w.vectors.map(w.dma, w.dev, v) === 0) w.vectors.unmap(w.dma, w.dev, v);
    w.release(pfn, 1);
  },
};
