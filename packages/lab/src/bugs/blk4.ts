import { type Bug, everywhere } from './bug.ts';
import { Vector } from './users/vector-mapper.ts';

/** A descriptor cannot be allocated after the first segment was mapped, and the error path forgets that mapping. */
export const BLK4: Bug = {
  id: 'BLK4',
  title: 'the first mapping of a request leaks when a descriptor cannot be allocated',
  source: '85686c72966c, CVE-2026-64020; 1bf86336e4b6',
  evidence: 'read',
  rules: everywhere('I27'),
  patch(w) {
    const { unmapEach } = w.vectors;
    w.vectors.unmapEach = (dma, dev, v) => {
      if (v.mapped.length === v.segments.length) unmapEach(dma, dev, v);
      else v.mapped = [];
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
    // The second segment gets no descriptor: to its mapper that is the same as no mapping.
    const { mapPhys } = w.dma;
    let calls = 0;
    w.dma.mapPhys = (...args) => (++calls === 2 ? -1 : mapPhys(...args));
    if (w.vectors.map(w.dma, w.dev, v) === 0) w.vectors.unmap(w.dma, w.dev, v);
  },
};
