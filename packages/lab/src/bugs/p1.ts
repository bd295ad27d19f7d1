import { type Bug, everywhere } from './bug.ts';
import { MappedRange } from './users/range-mapper.ts';

/** A failed migration to RAM puts its destination pages before it undoes their mapping. */
export const P1: Bug = {
  id: 'P1',
  title: 'pages of a failed migration are put before they are unmapped',
  source: '9e6372ec2a39, CVE-2026-93284',
  evidence: 'read',
  rules: everywhere('I25'),
  patch(w) {
    const { unmap } = w.ranges;
    w.ranges.unmap = (dma, dev, r) => {
      for (const folio of r.folios) if (folio !== null) w.release(folio.pfn, folio.order);
      unmap(dma, dev, r);
      // The caller puts them next; they are taken again so that this is no second free.
      for (const folio of r.folios) if (folio !== null) w.memory.claimPages(folio.pfn, folio.order);
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
