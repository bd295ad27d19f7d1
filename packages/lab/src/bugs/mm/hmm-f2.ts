import type { Task } from '@gpusvm/kernel';
import { migrateToDevice } from '@gpusvm/sanitizer';
import { FIRST, type MmBug, type MmWorld } from './mm-bug.ts';

/**
 * The driver's fault meets its own device page after an invalidation and records the dummy page that stands for device
 * memory in the CPU's page table, as lib/test_hmm.c does, instead of the memory behind it.
 */
export const HMM_F2: MmBug = {
  id: 'HMM-F2',
  title: 'a fault on an own device page maps the dummy page',
  source: 'lib/test_hmm.c of 6.12 and 7.3; oops measured on both',
  evidence: 'read',
  finds: 'S1',
  *prepare(w) {
    yield* migrateToDevice(w.dev, FIRST, FIRST + 1);
  },
  patch({ dev }) {
    const { walk } = dev.ops;
    dev.ops.walk = function* (device, range) {
      const err = yield* walk(device, range);
      const dummy = device.pagemap.basePfn + device.pagemap.pages - 1;
      if (err === 0 && device.pagemap.contains(range.pfns.pfn[0]!)) range.pfns.pfn[0] = dummy;
      return err;
    };
  },
  tasks: { process: protect, device: ({ dev }) => dev.access(FIRST, null) },
};

function* protect({ mm }: MmWorld): Task<void> {
  yield* mm.mprotect(FIRST, 1, { read: true, write: false });
}
