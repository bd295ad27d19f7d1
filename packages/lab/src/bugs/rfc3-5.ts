import { type Bug, translated } from './bug.ts';
import { MappedRange } from './users/range-mapper.ts';

/** The state is freed and not cleared: the next mapping of the range uses what is no longer its own. */
export const RFC3_5: Bug = {
  id: 'RFC3-5',
  title: 'a freed reservation is used by the next mapping of the range',
  source: 'RFC v3 11/11 of 2026-01-28',
  evidence: 'read',
  rules: translated('I11'),
  patch(w) {
    const { unmap } = w.ranges;
    w.ranges.unmap = (dma, dev, r) => {
      const { size } = r.state;
      unmap(dma, dev, r);
      r.state.size = size;
    };
  },
  trigger(w) {
    const pfn = w.alloc(1);
    const r = new MappedRange();
    r.folios = [{ pfn, order: 1 }];
    for (let i = 0; i < 2; i++) if (w.ranges.map(w.dma, w.dev, r) === 0) w.ranges.unmap(w.dma, w.dev, r);
    w.release(pfn, 1);
  },
};
