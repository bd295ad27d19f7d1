import { type Bug, translated } from './bug.ts';
import { MappedRange } from './users/range-mapper.ts';

/** The free sits inside the loop over pages: a range without any page keeps its reservation. */
export const RFC3_6: Bug = {
  id: 'RFC3-6',
  title: 'a range without pages never frees its reservation',
  source: 'RFC v3 08/11 of 2026-01-28',
  evidence: 'read',
  rules: translated('I27'),
  patch(w) {
    const { unmap } = w.ranges;
    w.ranges.unmap = (dma, dev, r) => {
      if (r.addresses.some((a) => a !== null)) unmap(dma, dev, r);
    };
  },
  trigger(w) {
    const r = new MappedRange();
    r.folios = [null, null, null];
    if (w.ranges.map(w.dma, w.dev, r) === 0) w.ranges.unmap(w.dma, w.dev, r);
  },
};
