import { EBUSY, EFAULT, type Errno, type Task } from '@gpusvm/kernel';
import { HMM_PFN_REQ_FAULT, HMM_PFN_REQ_WRITE, HMM_PFN_VALID, HMM_PFN_WRITE, HmmPfns } from '../hmm-pfns.ts';
import type { MmuIntervalNotifier } from '../mmu-interval-notifier.ts';
import { mmuIntervalReadBegin, mmuIntervalReadRetry } from '../mmu-interval-notifier.ts';
import { hmmRangeFaultUnlockedTimeout } from '../range-fault-unlocked.ts';
import { type HmmRange, hmmRangeFault } from '../range-fault.ts';
import type { Dmirror } from './dmirror.ts';

/** HMM_RANGE_DEFAULT_TIMEOUT */
const TIMEOUT_NS = 1_000_000_000;

/** Pages that a fault or a snapshot looks at in one go: 32, before device THP 64. */
export function rangePages(file: Dmirror): number {
  return file.mm.machine.profile.hmm.deviceThp ? 32 : 64;
}

/** dmirror_fault: put `[startPage, endPage)` into the table, chunk by chunk. */
export function* mirrorFault(
  file: Dmirror,
  startPage: number,
  endPage: number,
  write: boolean,
  unlocked: boolean,
): Task<Errno> {
  const { mm } = file;
  if (!mm.mmgetNotZero()) return -EFAULT;
  let err: Errno = 0;
  const step = rangePages(file);
  for (let page = startPage; page < endPage && err === 0; page += step) {
    const range = newRange(file, file.sub, page, Math.min(page + step, endPage), write);
    err = yield* unlocked ? faultUnlocked(file, range) : faultLocked(file, range);
  }
  mm.mmput();
  return err;
}

function newRange(
  file: Dmirror,
  notifier: MmuIntervalNotifier,
  startPage: number,
  endPage: number,
  write: boolean,
): HmmRange {
  return {
    notifier,
    notifierSeq: 0,
    startPage,
    endPage,
    pfns: new HmmPfns(endPage - startPage),
    defaultFlags: HMM_PFN_REQ_FAULT | (write ? HMM_PFN_REQ_WRITE : 0),
    pfnFlagsMask: 0,
    devPrivateOwner: file.device,
  };
}

/** dmirror_range_fault: the caller protocol of hmm_range_fault. */
function* faultLocked(file: Dmirror, range: HmmRange): Task<Errno> {
  const { mm } = file;
  const { clock } = mm.machine;
  const deadlineNs = clock.nowNs + TIMEOUT_NS;
  for (;;) {
    if (clock.nowNs > deadlineNs) return -EBUSY;
    range.notifierSeq = yield* mmuIntervalReadBegin(range.notifier);
    yield* mm.mmapLock.downRead();
    const err = yield* hmmRangeFault(mm, range);
    mm.mmapLock.upRead();
    if (err === -EBUSY) continue;
    if (err !== 0) return err;
    const result = yield* useRange(file, range);
    if (result !== -EBUSY) return result;
  }
}

function* faultUnlocked(file: Dmirror, range: HmmRange): Task<Errno> {
  for (;;) {
    const err = yield* hmmRangeFaultUnlockedTimeout(file.mm, range, 0);
    if (err !== 0) return err;
    const result = yield* useRange(file, range);
    if (result !== -EBUSY) return result;
  }
}

/** dmirror_do_fault, under the mutex: -EBUSY when the result is stale already. */
function* useRange(file: Dmirror, range: HmmRange): Task<Errno> {
  yield* file.mutex.lock();
  const err = mmuIntervalReadRetry(range.notifier, range.notifierSeq) ? -EBUSY : fillTable(file, range);
  file.mutex.unlock();
  return err;
}

function fillTable(file: Dmirror, range: HmmRange): Errno {
  const { pfn, flags } = range.pfns;
  for (let i = 0; i < range.endPage - range.startPage; i++) {
    if ((flags[i]! & HMM_PFN_VALID) === 0) continue;
    const write = (flags[i]! & HMM_PFN_WRITE) !== 0;
    // An own device page that is read-only: the core reports it although a write was asked for (finding F1).
    if (!write && (range.defaultFlags & HMM_PFN_REQ_WRITE) !== 0) {
      file.mm.machine.warn('dmirror_do_fault: write', `page ${range.startPage + i} came back read-only`);
      return -EFAULT;
    }
    if (file.device.type === 'private' && file.device.owns(pfn[i]!)) file.dummyFaults++;
    file.table.set(range.startPage + i, pfn[i]!, write ? 'write' : 'read');
  }
  return 0;
}
