import { type Bug, translated } from './bug.ts';
import { MappedRange, touchRange } from './users/range-mapper.ts';

/**
 * Pages are linked where they lie in the range, holes included, and the whole extent is unlinked at once: the page
 * table stops at the first hole. A page table that steps over holes hides it; the sanitizer does not.
 */
export const P12: Bug = {
  id: 'P12',
  title: 'an unlink across holes leaves everything behind the first one mapped',
  source: 'packing in v4, 20260205041921.3781292-1-matthew.brost@intel.com',
  evidence: 'read',
  rules: translated('I6'),
  patch(w) {
    w.ranges.linkAll = (dma, dev, r) => {
      for (const [i, folio] of r.folios.entries()) {
        if (folio === null) continue;
        const err = dma.link(dev, r.state, folio.pfn * 4096, i * 4096, 4096, r.dir, 0);
        if (err !== 0) return err;
        r.addresses[i] = { addrBytes: r.state.addr + i * 4096, order: 0, single: false };
        r.linkedBytes = (i + 1) * 4096;
      }
      return dma.sync(dev, r.state, 0, r.linkedBytes);
    };
  },
  trigger(w) {
    const pfn = w.alloc(5);
    const r = new MappedRange();
    r.folios = Array.from({ length: 30 }, (_, i) => (i < 10 || i >= 20 ? { pfn: pfn + i, order: 0 } : null));
    if (w.ranges.map(w.dma, w.dev, r) === 0) {
      touchRange(w.dev, r);
      w.ranges.unmap(w.dma, w.dev, r);
    }
    w.release(pfn, 5);
  },
};
