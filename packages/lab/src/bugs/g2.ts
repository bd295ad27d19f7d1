import { type Bug, translated } from './bug.ts';
import { MappedRange } from './users/range-mapper.ts';

/** Entries that are links go to the function for single mappings. */
export const G2: Bug = {
  id: 'G2',
  title: 'links are undone with the function for single mappings',
  source: 'ea2f9985aa4a (about 7.2-rc4)',
  evidence: 'read',
  rules: translated('I17'),
  patch(w) {
    const { unmap } = w.ranges;
    w.ranges.unmap = (dma, dev, r) => {
      r.addresses = r.addresses.map((a) => (a === null ? null : { ...a, single: true }));
      unmap(dma, dev, r);
    };
  },
  trigger(w) {
    const pfn = w.alloc(1);
    const r = new MappedRange();
    r.folios = [{ pfn, order: 0 }, null, { pfn: pfn + 1, order: 0 }];
    if (w.ranges.map(w.dma, w.dev, r) === 0) w.ranges.unmap(w.dma, w.dev, r);
    w.release(pfn, 1);
  },
};
