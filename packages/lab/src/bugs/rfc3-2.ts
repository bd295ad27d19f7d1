import { type Bug, translated } from './bug.ts';
import { MappedRange, touchRange } from './users/range-mapper.ts';

/** The order that the device is told is the logarithm of bytes, 12 too large, so it runs past what is mapped. */
export const RFC3_2: Bug = {
  id: 'RFC3-2',
  title: 'a link is encoded with the logarithm of its bytes as its order',
  source: 'RFC v3 10/11 of 2026-01-28',
  evidence: 'read',
  rules: translated('I5'),
  patch(w) {
    const { linkAll } = w.ranges;
    w.ranges.linkAll = (dma, dev, r) => {
      const err = linkAll(dma, dev, r);
      r.addresses = r.addresses.map((a) => (a === null ? null : { ...a, order: a.order + 12 }));
      return err;
    };
  },
  trigger(w) {
    const pfn = w.alloc(1);
    const r = new MappedRange();
    r.folios = [{ pfn, order: 1 }];
    if (w.ranges.map(w.dma, w.dev, r) === 0) {
      touchRange(w.dev, r);
      w.ranges.unmap(w.dma, w.dev, r);
    }
    w.release(pfn, 1);
  },
};
