import { type Bug, translated } from './bug.ts';
import { MappedRange } from './users/range-mapper.ts';

/** The link length is PAGE_SHIFT << order, 12 bytes for a page. */
export const RFC3_1: Bug = {
  id: 'RFC3-1',
  title: 'the link length is the page shift, not the page size, shifted by the order',
  source: 'RFC v3 08/11 and 11/11 of 2026-01-28',
  evidence: 'read',
  rules: translated('I4'),
  patch(w) {
    const { link } = w.dma;
    w.dma.link = (dev, state, phys, offset, size, dir, attrs) =>
      link(dev, state, phys, offset, 12 * (size / 4096), dir, attrs);
  },
  trigger(w) {
    const pfn = w.alloc(2);
    const r = new MappedRange();
    r.folios = [
      { pfn, order: 1 },
      { pfn: pfn + 2, order: 1 },
    ];
    if (w.ranges.map(w.dma, w.dev, r) === 0) w.ranges.unmap(w.dma, w.dev, r);
    w.release(pfn, 2);
  },
};
