import { type Bug, translated } from './bug.ts';
import { Vector } from './users/vector-mapper.ts';

/** A request that falls back leaves the state of the request before it: it is unmapped as a reservation. */
export const BLK1: Bug = {
  id: 'BLK1',
  title: 'a request without reservation is unmapped with the reservation of the one before',
  source: 'a0750fae73c5 (20251210104346.379106-1)',
  evidence: 'read',
  rules: translated('I11'),
  patch(w) {
    const { map, unmap } = w.vectors;
    const kept = { addr: 0, size: 0, bytes: 0 };
    w.vectors.map = (dma, dev, v) => {
      const err = map(dma, dev, v);
      if (v.state.size !== 0)
        Object.assign(kept, { addr: v.state.addr, size: v.state.size, bytes: v.linkedBytes });
      // Not zeroed on the fall-back path.
      else if (kept.size !== 0) Object.assign(v, { state: v.state, linkedBytes: kept.bytes });
      if (!v.mergeable && kept.size !== 0) Object.assign(v.state, { addr: kept.addr, size: kept.size });
      return err;
    };
    w.vectors.unmap = unmap;
  },
  trigger(w) {
    const pfn = w.alloc(1);
    const v = new Vector();
    v.segments = [{ physBytes: pfn * 4096, sizeBytes: 8192 }];
    for (const mergeable of [true, false]) {
      v.mergeable = mergeable;
      if (w.vectors.map(w.dma, w.dev, v) === 0) w.vectors.unmap(w.dma, w.dev, v);
    }
    w.release(pfn, 1);
  },
};
