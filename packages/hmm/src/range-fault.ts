import {
  EBUSY,
  EFAULT,
  ENOMEM,
  EPERM,
  type Errno,
  type SchedPoint,
  type Task,
  schedPoint,
} from '@gpusvm/kernel';
import { PAGES_FAULTED, RANGE_FAULT, RETRY } from './counters.ts';
import { handleMmFault } from './cpu-fault.ts';
import type { HmmPfns } from './hmm-pfns.ts';
import { FAULT_SLOW, minorFault, minorFaultRun } from './minor-fault.ts';
import type { Mm } from './mm.ts';
import {
  type MmuIntervalNotifier,
  mmuIntervalCheckRetry,
  mmuIntervalReadBegin,
} from './mmu-interval-notifier.ts';
import { RangeWalk } from './range-walk.ts';
import { HMM_RANGE_FAULT } from './tracepoints.ts';
import { VM_FAULT_OOM } from './vm-fault.ts';

const WALK: SchedPoint = schedPoint('hmm_range_fault: walk');
const RESTART: SchedPoint = schedPoint('hmm_range_fault: restart');

/** What a device wants to know and have (struct hmm_range). */
export interface HmmRange {
  readonly notifier: MmuIntervalNotifier;
  /** From `mmuIntervalReadBegin`. */
  notifierSeq: number;
  readonly startPage: number;
  /** Exclusive. */
  readonly endPage: number;
  /** One entry for each page. */
  readonly pfns: HmmPfns;
  /** Request bits for every page. */
  readonly defaultFlags: number;
  /** Which request bits of the entries count. */
  readonly pfnFlagsMask: number;
  /** Device-private pages of this owner are results; those of others fault back to RAM. */
  readonly devPrivateOwner: object | null;
}

/**
 * Look up, and on request fault in, the pages of a range (hmm_range_fault, mm/hmm.c of 7.3). Takes no references: the
 * result is good only under the notifier protocol. Runs by the decision table of the spec, quirks included: an own
 * device-private page never faults, even if it is read-only and a write was asked for.
 *
 * The mmap lock and a user of the mm are held. May sleep. Cost: about 5 ns a page for present pages.
 *
 * @param mm - the address space.
 * @param range - what to fault; `pfns` is written.
 * @returns 0; -EBUSY when the range was invalidated (begin the read side again); -EFAULT where no page can be had;
 * -EPERM when a write was asked for in a read-only VMA; -ENOMEM (in 6.12 -EFAULT).
 */
export function* hmmRangeFault(mm: Mm, range: HmmRange): Task<Errno> {
  mm.mmapLock.assertHeld();
  const counters = mm.folios.counters.values;
  counters[RANGE_FAULT]!++;
  const err = yield* walkAndFault(mm, range);
  if (err === -EBUSY) counters[RETRY]!++;
  const point = mm.machine.trace.point(HMM_RANGE_FAULT);
  if (point.enabled) point.emit({ mm: mm.name, startPage: range.startPage, endPage: range.endPage, err });
  return err;
}

function* walkAndFault(mm: Mm, range: HmmRange): Task<Errno> {
  const { preemptive } = mm.machine.scheduler;
  const walk = new RangeWalk(mm, range);
  for (;;) {
    if (preemptive) yield RESTART;
    if (mmuIntervalCheckRetry(range.notifier, range.notifierSeq)) return -EBUSY;
    let state = walk.step();
    while (state === 'more') {
      if (preemptive) yield WALK;
      state = walk.step();
    }
    if (state === 'done') return 0;
    if (state === 'efault') return -EFAULT;
    const err = yield* faultPages(mm, walk.page, walk.faultEnd, walk.faultWrite);
    if (err !== 0) return err;
  }
}

/**
 * hmm_vma_fault: fault every page of `[startPage, endPage)`, all with the same need. The quick faults of a run take no
 * generator.
 */
function* faultPages(mm: Mm, startPage: number, endPage: number, write: boolean): Task<Errno> {
  const vma = mm.vmas.lookup(startPage);
  if (vma === null || vma.io) return -EFAULT;
  if (write && !vma.write) return -EPERM;
  if (!vma.read) return -EFAULT;
  mm.folios.counters.values[PAGES_FAULTED]! += endPage - startPage;
  const { preemptive } = mm.machine.scheduler;
  const exact = mm.machine.profile.hmm.faultErrno === 'from-fault';
  for (let page = startPage; page < endPage; page++) {
    if (!preemptive) {
      page = minorFaultRun(mm, vma, page, endPage, write);
      if (page < 0) return exact ? -ENOMEM : -EFAULT;
      if (page >= endPage) break;
    }
    let code = preemptive ? FAULT_SLOW : minorFault(mm, vma, page, write);
    if (code === FAULT_SLOW) code = yield* handleMmFault(mm, vma, page, write);
    if (code !== 0) return code === VM_FAULT_OOM && exact ? -ENOMEM : -EFAULT;
  }
  return 0;
}

/**
 * hmm_range_fault with the locking and retrying inside (hmm_range_fault_unlocked_timeout, 7.3): every round begins the
 * read side, takes the mmap lock and starts at the beginning of the range. The caller holds a user of the mm but not
 * the mmap lock, and still has to test `mmuIntervalReadRetry` under its own lock. May sleep.
 *
 * @param mm - the address space.
 * @param range - as for {@link hmmRangeFault}; use mask 0, since later rounds read the outputs of earlier ones.
 * @param timeoutNs - virtual time for all rounds; 0 = for ever. Tested before a walk, never inside a fault.
 * @returns as {@link hmmRangeFault}; -EBUSY when time is up; -EFAULT when the address space is being torn down.
 */
export function* hmmRangeFaultUnlockedTimeout(mm: Mm, range: HmmRange, timeoutNs: number): Task<Errno> {
  const { clock } = mm.machine;
  const deadline = timeoutNs === 0 ? Number.POSITIVE_INFINITY : clock.nowNs + timeoutNs;
  for (;;) {
    range.notifierSeq = yield* mmuIntervalReadBegin(range.notifier);
    yield* mm.mmapLock.downRead();
    let err: Errno;
    try {
      if (mm.users === 0 || mm.unstable) return -EFAULT;
      if (clock.nowNs > deadline) return -EBUSY;
      err = yield* hmmRangeFault(mm, range);
    } finally {
      mm.mmapLock.upRead();
    }
    if (err !== -EBUSY) return err;
  }
}
