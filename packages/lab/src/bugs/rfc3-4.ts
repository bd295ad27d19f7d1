import { type Bug, translated } from './bug.ts';
import { MappedRange } from './users/range-mapper.ts';

/** The offset of a link is the number of its entry in pages: entries of a higher order overlap. */
export const RFC3_4: Bug = {
  id: 'RFC3-4',
  title: 'the link offset counts entries instead of pages',
  source: 'RFC v3 11/11 of 2026-01-28',
  evidence: 'read',
  rules: translated('I2'),
  patch(w) {
    const { link } = w.dma;
    let entry = 0;
    w.dma.link = (dev, state, phys, _offset, size, dir, attrs) =>
      link(dev, state, phys, 4096 * entry++, size, dir, attrs);
  },
  trigger(w) {
    const pfn = w.alloc(3);
    const r = new MappedRange();
    r.folios = [
      { pfn, order: 2 },
      { pfn: pfn + 4, order: 2 },
    ];
    if (w.ranges.map(w.dma, w.dev, r) === 0) w.ranges.unmap(w.dma, w.dev, r);
    w.release(pfn, 3);
  },
};
