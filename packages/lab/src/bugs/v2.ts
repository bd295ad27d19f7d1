import type { Bug } from './bug.ts';
import { Vector, vectorAddress } from './users/vector-mapper.ts';

/**
 * An exporter takes its memory back without stopping the importer, whose device goes on. The lifetime half of the
 * CVEs (double free of a file) belongs to no DMA call and is not shown.
 */
export const V2: Bug = {
  id: 'V2',
  title: 'an importer goes on after its dma-buf was revoked',
  source: 'CVE-2026-53322, CVE-2026-31468, CVE-2026-64042',
  evidence: 'read',
  rules: { none: 'I16', strict: 'I5', lazy: 'I5', swiotlb: 'I16' },
  patch(w) {
    const { unmap } = w.vectors;
    w.vectors.unmap = (dma, dev, v) => {
      const addr = vectorAddress(v, 0);
      unmap(dma, dev, v);
      // Revoked first, and the device told afterwards.
      dev.readTag(addr);
    };
  },
  trigger(w) {
    const pfn = w.alloc(1, 'exporter');
    const v = new Vector();
    v.segments = [{ physBytes: pfn * 4096, sizeBytes: 8192 }];
    if (w.vectors.map(w.dma, w.dev, v) === 0) {
      w.dev.readTag(vectorAddress(v, 0));
      w.vectors.unmap(w.dma, w.dev, v);
    }
    w.release(pfn, 1);
  },
};
