import { HMM_PFN_REQ_FAULT, mmuIntervalReadBegin } from '@gpusvm/hmm';
import { EBUSY, EFAULT, ENOMEM, type Errno, ETIME, type Task } from '@gpusvm/kernel';
import type { DrmGpusvm } from './gpusvm.ts';
import { faultUnlocked, HMM_RANGE_DEFAULT_TIMEOUT_NS } from './hmm-fault.ts';
import type { DrmGpusvmRange } from './range.ts';

/**
 * Move a range to system memory by faulting it as a device that owns nothing (drm_gpusvm_range_evict): HMM then calls
 * `migrateToRam` for every device-private page. Best effort: nothing keeps the pages there. Sleeps; no lock of the
 * notifier or the mm held.
 *
 * @returns 0; -EFAULT when the mm is dying; -ENOMEM; -ETIME after 1000 ms of collisions; what HMM returns.
 */
export function* drmGpusvmRangeEvict(gpusvm: DrmGpusvm, range: DrmGpusvmRange): Task<Errno> {
  const { machine, trace, name } = gpusvm;
  const { startPage, endPage } = range;
  const err = yield* evict(gpusvm, range, machine.clock.nowNs + HMM_RANGE_DEFAULT_TIMEOUT_NS);
  if (trace.rangeEvict.enabled) trace.rangeEvict.emit({ gpusvm: name, startPage, endPage, err });
  return err;
}

function* evict(gpusvm: DrmGpusvm, range: DrmGpusvmRange, deadlineNs: number): Task<Errno> {
  const { machine, pfnPool } = gpusvm;
  const { clock, profile } = machine;
  const mm = gpusvm.requireMm();
  if (!mm.mmgetNotZero()) return -EFAULT;
  const scratch = pfnPool.take(range.notifier, range.startPage, range.endPage, null);
  if (scratch === null) {
    mm.mmput(); // Forgotten on this path until 847b371debf3 (bug G4).
    return -ENOMEM;
  }
  scratch.defaultFlags = HMM_PFN_REQ_FAULT;
  scratch.notifierSeq = yield* mmuIntervalReadBegin(range.notifier);
  let err: Errno = -ETIME;
  if (clock.nowNs <= deadlineNs) {
    err = yield* faultUnlocked(machine, mm, scratch, deadlineNs);
    if (err === -EBUSY && profile.hmm.unlockedFault) err = -ETIME;
  }
  pfnPool.give(scratch);
  mm.mmput();
  return err;
}
