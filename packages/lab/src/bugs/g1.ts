import { type Bug, translated } from './bug.ts';
import { MappedRange } from './users/range-mapper.ts';

/** drm_gpusvm ends a sparse mapping with destroy(linked), which frees less than the reservation up to 7.2. */
export const G1: Bug = {
  id: 'G1',
  title: 'the unmap of a mixed range frees only the linked prefix',
  source: '0bc7c196f3ab (about 7.2-rc4)',
  evidence: 'read',
  rules: translated('I9'),
  profile: 'linux-7.2',
  patch(w) {
    const { unmap } = w.ranges;
    w.ranges.unmap = (dma, dev, r) => {
      if (r.state.size === 0) return unmap(dma, dev, r);
      dma.destroy(dev, r.state, r.linkedBytes, r.dir, 0);
      r.state.size = 0;
      r.linkedBytes = 0;
      r.addresses = [];
    };
  },
  trigger(w) {
    const pfn = w.alloc(4);
    const r = new MappedRange();
    r.folios = Array.from({ length: 32 }, (_, i) => (i < 10 ? { pfn: pfn + i, order: 0 } : null));
    if (w.ranges.map(w.dma, w.dev, r) === 0) w.ranges.unmap(w.dma, w.dev, r);
    w.release(pfn, 4);
  },
};
