import { DmaIovaState } from '@gpusvm/dma-iova';
import { type Bug, translated } from './bug.ts';
import { Vector } from './users/vector-mapper.ts';

/** The destroy of 6.16 to 7.2 frees what mapped_len covers, against its documentation; here on an error path. */
export const D5: Bug = {
  id: 'D5',
  title: 'destroy frees the mapped length instead of the reservation',
  source: '1acce29926d9 against the documentation',
  evidence: 'read',
  rules: translated('I9'),
  patch(w) {
    const { destroy, unlink, free } = w.dma;
    w.dma.destroy = (dev, state, bytes, dir, attrs) => {
      if (bytes === 0) return destroy(dev, state, bytes, dir, attrs);
      unlink(dev, state, 0, bytes, dir, attrs);
      const part = new DmaIovaState();
      part.addr = state.addr;
      part.size = bytes;
      free(dev, part);
    };
  },
  trigger(w) {
    const pfn = w.alloc(3);
    const v = new Vector();
    v.segments = Array.from({ length: 4 }, (_, i) => ({ physBytes: (pfn + 2 * i) * 4096, sizeBytes: 4096 }));
    // The second link finds no table page.
    w.machine.faultInjection.failNth('iommu.alloc_table', 4);
    const { link } = w.dma;
    let calls = 0;
    w.dma.link = (...args) => (++calls === 2 ? -12 : link(...args));
    if (w.vectors.map(w.dma, w.dev, v) === 0) w.vectors.unmap(w.dma, w.dev, v);
    w.machine.faultInjection.reset();
    w.release(pfn, 3);
  },
};
