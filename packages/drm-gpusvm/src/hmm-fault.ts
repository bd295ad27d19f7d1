import { hmmRangeFault, hmmRangeFaultUnlockedTimeout, type Mm, mmuIntervalReadBegin } from '@gpusvm/hmm';
import { EBUSY, type Errno, type Machine, type Task } from '@gpusvm/kernel';
import type { PfnScratch } from './scratch.ts';

/** HMM_RANGE_DEFAULT_TIMEOUT, in nanoseconds of virtual time. */
export const HMM_RANGE_DEFAULT_TIMEOUT_NS = 1_000_000_000;
/**
 * Charged for every round that is thrown away (about the price of collecting 2 MiB), so that time limits end loops also
 * where nothing else moves the clock.
 */
const RETRY_COST_NS = 10_000;

/** A round was in vain. */
export function chargeRetry(machine: Machine): void {
  machine.scheduler.charge(RETRY_COST_NS);
}

/**
 * Let HMM fill the array, again while invalidations collide and the deadline has not passed. The caller is a user of
 * the mm, does not hold the mmap lock and has set `range.notifierSeq`; afterwards it is the sequence number of the
 * result. One call of `hmm_range_fault_unlocked_timeout` where the kernel has it (7.3), otherwise the hand-written loop
 * that it replaced.
 *
 * @returns 0; -EBUSY at the deadline; what HMM returns.
 */
export function* faultUnlocked(machine: Machine, mm: Mm, range: PfnScratch, deadlineNs: number): Task<Errno> {
  const { clock, profile } = machine;
  // A timeout of 0 would mean for ever.
  if (profile.hmm.unlockedFault) {
    return yield* hmmRangeFaultUnlockedTimeout(mm, range, Math.max(deadlineNs - clock.nowNs, 1));
  }
  for (;;) {
    if (!mm.mmapLock.tryDownRead()) yield* mm.mmapLock.downRead();
    const err = yield* hmmRangeFault(mm, range);
    mm.mmapLock.upRead();
    if (err !== -EBUSY || clock.nowNs > deadlineNs) return err;
    chargeRetry(machine);
    range.notifierSeq = yield* mmuIntervalReadBegin(range.notifier);
  }
}
