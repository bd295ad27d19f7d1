import { type Bug, translated } from './bug.ts';
import { Vector } from './users/vector-mapper.ts';

/** The test of the result of a driver's map function is inverted: its error is lost, the caller sees success. */
export const D8: Bug = {
  id: 'D8',
  title: 'iommu_map_nosync loses the errors of legacy drivers',
  source: '6fc7e8a3b811, b948a8722848 (2026-05)',
  evidence: 'read',
  rules: translated('I26'),
  device: { ioPageTable: 'vtd-legacy' },
  patch(w) {
    const domain = w.dev.domain;
    if (domain === null) return;
    const mapRange = domain.mapRange.bind(domain);
    domain.mapRange = (page, pfn, pages, prot) => {
      mapRange(page, pfn, pages, prot);
      return 0;
    };
  },
  trigger(w) {
    const pfn = w.alloc(1);
    const v = new Vector();
    v.segments = [
      { physBytes: pfn * 4096, sizeBytes: 4096 },
      { physBytes: (pfn + 1) * 4096, sizeBytes: 4096 },
    ];
    w.machine.faultInjection.failNth('iommu.alloc_table', 1);
    if (w.vectors.map(w.dma, w.dev, v) === 0) w.vectors.unmap(w.dma, w.dev, v);
    w.machine.faultInjection.reset();
    w.release(pfn, 1);
  },
};
