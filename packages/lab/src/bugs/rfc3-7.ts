import { type Bug, translated } from './bug.ts';
import { MappedRange } from './users/range-mapper.ts';

/** Holes are filled by one long link that starts at a dummy page: the device also gets the pages behind it. */
export const RFC3_7: Bug = {
  id: 'RFC3-7',
  title: 'holes are filled by one link that runs past the dummy page',
  source: 'RFC v3 05/11, 20260128004841.2436896-6-matthew.brost@intel.com',
  evidence: 'read',
  rules: translated('I16'),
  patch(w) {
    w.ranges.linkAll = (dma, dev, r) => {
      const dummy = r.folios.findIndex((f) => f !== null);
      const { pfn } = r.folios[dummy]!;
      let err = dma.link(dev, r.state, pfn * 4096, 0, dummy * 4096, r.dir, 0);
      for (const [i, folio] of r.folios.entries()) {
        if (folio === null || err !== 0) continue;
        err = dma.link(dev, r.state, folio.pfn * 4096, i * 4096, 4096, r.dir, 0);
        if (err === 0) r.linkedBytes = (i + 1) * 4096;
      }
      return err === 0 ? dma.sync(dev, r.state, 0, r.linkedBytes) : err;
    };
  },
  trigger(w) {
    const pfn = w.alloc(0);
    const other = w.alloc(3, 'another process');
    const r = new MappedRange();
    r.folios = [null, null, null, { pfn, order: 0 }];
    if (w.ranges.map(w.dma, w.dev, r) === 0) w.ranges.unmap(w.dma, w.dev, r);
    w.release(pfn, 0);
    w.release(other, 3);
  },
};
