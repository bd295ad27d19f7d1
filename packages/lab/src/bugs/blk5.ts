import { type Bug, everywhere } from './bug.ts';
import { Vector } from './users/vector-mapper.ts';

/** What to unmap is rebuilt from page-sized device descriptors, which do not tell how long each mapping was. */
export const BLK5: Bug = {
  id: 'BLK5',
  title: 'mappings are undone from lossy device descriptors',
  source: 'b8b7570a7ec8; m72dvfp7wmycwghaaa65zs5adkzylsdtnk4smp7rdfgrsdw443@ry2laobzym7d',
  evidence: 'read',
  rules: everywhere('I17'),
  patch(w) {
    const { unmapEach } = w.vectors;
    w.vectors.unmapEach = (dma, dev, v) => {
      // PRP entries: one a page.
      v.mapped = v.mapped.flatMap(({ addrBytes, sizeBytes }) =>
        Array.from({ length: Math.ceil(sizeBytes / 4096) }, (_, i) => ({
          addrBytes: addrBytes + i * 4096,
          sizeBytes: Math.min(4096, sizeBytes - i * 4096),
        })),
      );
      unmapEach(dma, dev, v);
    };
  },
  trigger(w) {
    const pfn = w.alloc(2);
    const v = new Vector();
    v.mergeable = false;
    v.segments = [
      { physBytes: pfn * 4096, sizeBytes: 8192 },
      { physBytes: (pfn + 3) * 4096, sizeBytes: 4096 },
    ];
    if (w.vectors.map(w.dma, w.dev, v) === 0) w.vectors.unmap(w.dma, w.dev, v);
    w.release(pfn, 2);
  },
};
