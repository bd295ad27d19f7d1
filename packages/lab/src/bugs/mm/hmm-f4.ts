import { FIRST, type MmBug } from './mm-bug.ts';

/**
 * lib/test_hmm.c takes the inclusive last index of the interval tree for an exclusive end and clears one page too many. Nothing
 * breaks, the device faults once more than it has to; but whoever takes the mirror for an oracle of what is valid errs at
 * the end of every range.
 */
export const HMM_F4: MmBug = {
  id: 'HMM-F4',
  title: 'an invalidation takes the page behind its range out of the mirror too',
  source: 'lib/test_hmm.c of 6.12 and 7.3',
  evidence: 'read',
  finds: 'outcome',
  pages: 2,
  *prepare({ dev }) {
    yield* dev.fault(FIRST, FIRST + 2, false);
  },
  patch({ dev }) {
    const { zap } = dev.ops;
    dev.ops.zap = (device, startPage, endPage) => zap(device, startPage, endPage + 1);
  },
  outcome: ({ dev }) =>
    dev.entries.has(FIRST + 1)
      ? null
      : `page ${FIRST + 1} is not in the mirror any more, and only page ${FIRST} was invalidated`,
  tasks: { process: ({ mm }) => mm.madviseDontneed(FIRST, 1) },
};
