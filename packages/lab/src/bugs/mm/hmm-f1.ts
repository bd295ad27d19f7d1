import { KERNEL_PROFILES, type Task } from '@gpusvm/kernel';
import { migrateToDevice } from '@gpusvm/sanitizer';
import { FIRST, type MmBug, type MmWorld } from './mm-bug.ts';

/**
 * The other end of HMM-B1: a driver that believes only WRITE has to refuse its device a write that the process may do,
 * since no fault ever makes the entry writable again. test_hmm answers -EFAULT. Every Linux so far does that; the profile
 * `next` faults such a page as any other.
 */
export const HMM_F1: MmBug = {
  id: 'HMM-F1',
  title: 'a device can never again write its own page after mprotect took the permission and gave it back',
  source: 'open; measured with test_hmm on 6.12.117 and 7.3.4',
  evidence: 'read',
  finds: 'outcome',
  profile: KERNEL_PROFILES['linux-7.3'],
  fixedIn: KERNEL_PROFILES.next,
  *prepare(w) {
    yield* migrateToDevice(w.dev, FIRST, FIRST + 1);
    yield* w.mm.mprotect(FIRST, 1, { read: true, write: false });
    yield* w.mm.mprotect(FIRST, 1, { read: true, write: true });
  },
  patch() {},
  outcome: ({ results }) => {
    const written = results.get('device');
    return written === 9
      ? null
      : `the device may write page ${FIRST} as the process may, and gets ${written}`;
  },
  tasks: { device: write },
};

function* write({ dev, results }: MmWorld): Task<void> {
  results.set('device', yield* dev.access(FIRST, 9));
}
