import { done } from '@gpusvm/kernel';
import { migrateToDevice } from '@gpusvm/sanitizer';
import { FIRST, type MmBug } from './mm-bug.ts';

/**
 * A driver passes over the MIGRATE notifications of its own migrations, as it may, but no lock keeps its faults out of
 * them: the sequence was not set, so that a fault maps the page of RAM that has just moved.
 */
export const HMM_B2: MmBug = {
  id: 'HMM-B2',
  title: 'own migrations are passed over without a lock that excludes own faults',
  source: 'lib/test_hmm.c of 6.12 and 7.3; oops measured on both',
  evidence: 'inferred',
  finds: 'S8',
  patch({ dev }) {
    dev.ops.exclude = () => done(undefined);
    dev.ops.include = () => {};
    dev.ops.isOwn = (device, { event, owner }) => event === 'MIGRATE' && owner === device;
  },
  tasks: {
    fault: ({ dev }) => dev.fault(FIRST, FIRST + 1, false),
    migration: ({ dev }) => migrateToDevice(dev, FIRST, FIRST + 1),
  },
};
