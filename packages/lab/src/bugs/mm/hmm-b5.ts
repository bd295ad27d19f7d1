import { done } from '@gpusvm/kernel';
import { FIRST, type MmBug } from './mm-bug.ts';

/** The callback waits for the device with an interruptible wait, and takes -ERESTARTSYS for the end of it. */
export const HMM_B5: MmBug = {
  id: 'HMM-B5',
  title: 'a signal ends the wait for the device inside of a callback',
  source: 'amd/xdna-driver PR 1540; still in the amdxdna driver of 7.3',
  evidence: 'read',
  finds: 'S7',
  patch({ dev }) {
    dev.ops.quiesce = () => done(undefined);
  },
  tasks: {
    device: ({ dev }) => dev.access(FIRST, 9),
    process: ({ mm }) => mm.munmap(FIRST, 1),
  },
};
