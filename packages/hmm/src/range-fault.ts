import {
  EBUSY,
  EFAULT,
  ENOMEM,
  EPERM,
  type Errno,
  MIGHT_ALLOC,
  type SchedPoint,
  type Task,
  schedPoint,
} from '@gpusvm/kernel';
import { PAGES_FAULTED, RANGE_FAULT, RETRY } from './counters.ts';
import { handleMmFault } from './cpu-fault.ts';
import type { HmmPfns } from './hmm-pfns.ts';
import { FAULT_SLOW, minorFault, minorFaultRun } from './minor-fault.ts';
import type { Mm } from './mm.ts';
import { type MmuIntervalNotifier, mmuIntervalCheckRetry } from './mmu-interval-notifier.ts';
import { RangeWalk } from './range-walk.ts';
import { HMM_RANGE_FAULT } from './tracepoints.ts';
import { VM_FAULT_OOM, VM_FAULT_RETRY } from './vm-fault.ts';

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
  return yield* rangeFaultRound(mm, range, false);
}

/** @internal The mmap lock was dropped in a fault; the caller has to begin a new round. */
export const LOST_LOCK = 1;

/** @internal One round of either entry point; with `mayDrop` it may return {@link LOST_LOCK}. */
export function* rangeFaultRound(mm: Mm, range: HmmRange, mayDrop: boolean): Task<number> {
  const counters = mm.folios.counters.values;
  counters[RANGE_FAULT]!++;
  const alloc = mm.machine.trace.point(MIGHT_ALLOC);
  if (alloc.enabled) alloc.emit({ site: 'hmm_range_fault' });
  const err = yield* walkAndFault(mm, range, mayDrop);
  if (err === -EBUSY) counters[RETRY]!++;
  const point = mm.machine.trace.point(HMM_RANGE_FAULT);
  if (point.enabled) point.emit({ mm: mm.name, startPage: range.startPage, endPage: range.endPage, err });
  const result = mm.folios.protocol.rangeResult;
  if (result.enabled && err === 0) {
    const { notifier, notifierSeq, startPage, endPage, pfns } = range;
    result.emit({ sub: notifier, seq: notifierSeq, startPage, endPage, pfns });
  }
  return err;
}

function* walkAndFault(mm: Mm, range: HmmRange, mayDrop: boolean): Task<number> {
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
    const err = yield* faultPages(mm, walk.page, walk.faultEnd, walk.faultWrite, mayDrop);
    if (err !== 0) return err;
  }
}

/**
 * hmm_vma_fault: fault every page of `[startPage, endPage)`, all with the same need. The quick faults of a run take no
 * generator.
 */
function* faultPages(
  mm: Mm,
  startPage: number,
  endPage: number,
  write: boolean,
  mayDrop: boolean,
): Task<number> {
  const vma = mm.vmas.lookup(startPage);
  if (vma === null || vma.io) return -EFAULT;
  if (write && !vma.write) return -EPERM;
  if (!vma.read || vma.ownFaultsOnly) return -EFAULT;
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
    if (code === FAULT_SLOW) code = yield* handleMmFault(mm, vma, page, write, mayDrop);
    if (code === VM_FAULT_RETRY) return LOST_LOCK;
    if (code !== 0) return code === VM_FAULT_OOM && exact ? -ENOMEM : -EFAULT;
  }
  return 0;
}
