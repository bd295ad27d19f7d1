import { type Bug, translated } from './bug.ts';
import { MappedRange, touchRange } from './users/range-mapper.ts';

/** The first versions of the series never synced their links. */
export const P11: Bug = {
  id: 'P11',
  title: 'links of a mixed range are never synced',
  source: 'changelog of RFC v3, 20260128004841.2436896-1-matthew.brost@intel.com',
  evidence: 'read',
  rules: translated('I5'),
  device: { cachingMode: true },
  patch(w) {
    w.dma.sync = () => 0;
  },
  trigger(w) {
    const pfn = w.alloc(2);
    const r = new MappedRange();
    r.folios = [{ pfn, order: 0 }, null, { pfn: pfn + 2, order: 1 }];
    if (w.ranges.map(w.dma, w.dev, r) === 0) {
      touchRange(w.dev, r);
      w.ranges.unmap(w.dma, w.dev, r);
    }
    w.release(pfn, 2);
  },
};
