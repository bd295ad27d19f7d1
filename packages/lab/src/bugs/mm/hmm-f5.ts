import type { Task } from '@gpusvm/kernel';
import { migrateToDevice } from '@gpusvm/sanitizer';
import { FIRST, type MmBug, type MmWorld } from './mm-bug.ts';

/**
 * migrate_vma_setup returns 0 and says in cpages how many slots migrate, and neither changes when a slot gets no
 * destination or loses the race after all. The patched driver takes cpages for the number of pages that moved.
 */
export const HMM_F5: MmBug = {
  id: 'HMM-F5',
  title: 'a driver takes cpages for the number of pages that moved',
  source: 'measured with test_hmm on 6.12.117 and 7.3.4',
  evidence: 'inferred',
  finds: 'outcome',
  pages: 2,
  devicePages: 1,
  patch({ dev }) {
    dev.ops.moved = ({ cpages }) => cpages;
  },
  outcome: ({ mm, results }) => {
    const moved = results.get('driver');
    const there = mm.entryCounts().device;
    return moved === there
      ? null
      : `the driver says that ${moved} pages are on the device, where ${there} are`;
  },
  tasks: { driver: migrate },
};

function* migrate({ dev, results }: MmWorld): Task<void> {
  results.set('driver', yield* migrateToDevice(dev, FIRST, FIRST + 2));
}
