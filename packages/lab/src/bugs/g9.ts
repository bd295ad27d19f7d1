import type { DmaDataDirection } from '@gpusvm/dma-iova';
import { type Bug, translated } from './bug.ts';
import { MappedRange } from './users/range-mapper.ts';

/** What garbage in an unset entry looks like when it is read as a direction. */
const POISON: DmaDataDirection = 3;

/** With nothing linked the unmap reads the direction of entry 0, which was never filled, and unlinks 0 bytes. */
export const G9: Bug = {
  id: 'G9',
  title: 'an unlink of nothing takes its direction from an unset entry',
  source: 'gone with 0bc7c196f3ab',
  evidence: 'read',
  rules: translated('I6'),
  patch(w) {
    const { unmap } = w.ranges;
    w.ranges.unmap = (dma, dev, r) => {
      const dir = r.addresses[0] === null ? POISON : r.dir;
      if (r.state.size !== 0 && r.linkedBytes === 0) dma.unlink(dev, r.state, 0, 0, dir, 0);
      unmap(dma, dev, r);
    };
  },
  trigger(w) {
    const pfn = w.alloc(0);
    const r = new MappedRange();
    r.folios = [{ pfn, order: 0 }];
    w.machine.faultInjection.failNth('iommu.alloc_table', 1);
    if (w.ranges.map(w.dma, w.dev, r) === 0) w.ranges.unmap(w.dma, w.dev, r);
    w.machine.faultInjection.reset();
    w.release(pfn, 0);
  },
};
