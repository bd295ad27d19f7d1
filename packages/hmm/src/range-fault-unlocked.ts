import { EBUSY, EFAULT, EINTR, type Errno, type Task } from '@gpusvm/kernel';
import type { Mm } from './mm.ts';
import { mmuIntervalReadBegin } from './mmu-interval-notifier.ts';
import { type HmmRange, LOST_LOCK, rangeFaultRound } from './range-fault.ts';

/**
 * hmm_range_fault with the locking and retrying inside (hmm_range_fault_unlocked_timeout, 7.3): every round begins the
 * read side, takes the mmap lock and starts at the beginning of the range. Faults may drop the mmap lock, so that
 * userfaultfd works here; that counts as progress, and the time starts again. The caller holds a user of the mm but not
 * the mmap lock, and still has to test `mmuIntervalReadRetry` under its own lock. May sleep. Asks the fault site
 * `hmm.fatal_signal` where the kernel looks for a signal.
 *
 * @param mm - the address space.
 * @param range - as for `hmmRangeFault`; use mask 0, since later rounds read the outputs of earlier ones.
 * @param timeoutNs - virtual time for all rounds that make no progress; 0 = for ever. Tested after the read side began
 * and before a walk, never inside a fault.
 * @returns as `hmmRangeFault`; -EBUSY when time is up; -EFAULT when the address space is being torn down; -EINTR.
 */
export function* hmmRangeFaultUnlockedTimeout(mm: Mm, range: HmmRange, timeoutNs: number): Task<Errno> {
  const { clock } = mm.machine;
  const budgetNs = timeoutNs === 0 ? Number.POSITIVE_INFINITY : timeoutNs;
  let deadlineNs = clock.nowNs + budgetNs;
  for (;;) {
    range.notifierSeq = yield* mmuIntervalReadBegin(range.notifier);
    if (mm.folios.signalSite.shouldFail()) return -EINTR;
    yield* mm.mmapLock.downRead();
    const err = yield* lockedRound(mm, range, deadlineNs);
    if (err === LOST_LOCK) {
      if (mm.folios.signalSite.shouldFail()) return -EINTR;
      deadlineNs = clock.nowNs + budgetNs;
      continue;
    }
    if (err === TIME_IS_UP) return -EBUSY;
    if (err !== -EBUSY) return err;
  }
}

/** Unlike -EBUSY of a round, not a reason for another one. */
const TIME_IS_UP = 2;

/** Releases the mmap lock, unless the round has lost it. */
function* lockedRound(mm: Mm, range: HmmRange, deadlineNs: number): Task<number> {
  let err = LOST_LOCK;
  try {
    if (mm.users === 0 || mm.unstable) err = -EFAULT;
    else if (mm.machine.clock.nowNs > deadlineNs) err = TIME_IS_UP;
    else err = yield* rangeFaultRound(mm, range, true);
  } finally {
    if (err !== LOST_LOCK) mm.mmapLock.upRead();
  }
  return err;
}
