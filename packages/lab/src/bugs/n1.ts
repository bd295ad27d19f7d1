import { type Bug, everywhere } from './bug.ts';
import { Vector } from './users/vector-mapper.ts';

/** A large folio is mapped, and unmapped with the size of a page. */
export const N1: Bug = {
  id: 'N1',
  title: 'a 64 KiB folio is mapped and 4 KiB of it are unmapped',
  source: 'caa1bc2a0a6c (nouveau)',
  evidence: 'subject',
  rules: everywhere('I17'),
  patch(w) {
    const { unmapPhys } = w.dma;
    w.dma.unmapPhys = (dev, addr, _size, dir, attrs) => unmapPhys(dev, addr, 4096, dir, attrs);
  },
  trigger(w) {
    const pfn = w.alloc(4);
    const v = new Vector();
    v.mergeable = false;
    v.segments = [{ physBytes: pfn * 4096, sizeBytes: 2 ** 16 }];
    if (w.vectors.map(w.dma, w.dev, v) === 0) w.vectors.unmap(w.dma, w.dev, v);
    w.release(pfn, 4);
  },
};
