import type { Task } from '@gpusvm/kernel';
import { migrateToDevice } from '@gpusvm/sanitizer';
import { FIRST, type MmBug, type MmWorld } from './mm-bug.ts';

/**
 * mprotect makes the entry of a device-private page read-only, and giving the permission back does not change it: then
 * hmm_range_fault(REQ_WRITE) by the page's own device returns 0 without WRITE. The patched driver takes the 0 for what
 * the documentation promises.
 */
export const HMM_B1: MmBug = {
  id: 'HMM-B1',
  title: 'a driver takes the success of a write request for permission to write',
  source: 'open; measured with test_hmm on 6.12.117 and 7.3.4',
  evidence: 'read',
  finds: 'S22',
  *prepare(w) {
    yield* migrateToDevice(w.dev, FIRST, FIRST + 1);
  },
  patch({ dev }) {
    dev.ops.mayWrite = () => true;
  },
  tasks: { process: protectTwice, device: ({ dev }) => dev.access(FIRST, 9) },
};

function* protectTwice({ mm }: MmWorld): Task<void> {
  yield* mm.mprotect(FIRST, 1, { read: true, write: false });
  yield* mm.mprotect(FIRST, 1, { read: true, write: true });
}
