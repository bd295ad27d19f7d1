import type { Pfn, Task } from '@gpusvm/kernel';
import { migrateToDevice } from '@gpusvm/sanitizer';
import { FIRST, type MmBug } from './mm-bug.ts';

/** A migration to a full device waits for a free page, which nobody is going to make while it waits. */
export const HMM_B6: MmBug = {
  id: 'HMM-B6',
  title: 'eviction while a fault is serviced spins for ever on a full device',
  source: 'NVIDIA open-gpu-kernel-modules issue 1223',
  evidence: 'read',
  finds: 'livelock',
  pages: 2,
  devicePages: 1,
  *prepare(w) {
    yield* migrateToDevice(w.dev, FIRST, FIRST + 1);
  },
  patch({ dev }) {
    dev.ops.reserve = function* (device): Task<Pfn> {
      let pfn = device.allocPage();
      for (; pfn < 0; pfn = device.allocPage()) yield { kind: 'sleep', ns: 1000, poll: true };
      return pfn;
    };
  },
  tasks: { driver: ({ dev }) => migrateToDevice(dev, FIRST + 1, FIRST + 2) },
};
