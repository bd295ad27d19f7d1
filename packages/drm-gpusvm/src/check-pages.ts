import { HMM_PFN_VALID, hmmRangeFault, mmuIntervalReadBegin } from '@gpusvm/hmm';
import { EBUSY, type Errno, type Task } from '@gpusvm/kernel';
import type { DrmGpusvm } from './gpusvm.ts';
import { chargeRetry, HMM_RANGE_DEFAULT_TIMEOUT_NS } from './hmm-fault.ts';
import { hmmPfnToOrder } from './hmm-order.ts';
import type { DrmGpusvmNotifier } from './notifier.ts';

/**
 * @internal Whether every page of `[startPage, endPage)` is populated (drm_gpusvm_check_pages). The mmap lock is held.
 * A snapshot: nothing is faulted in. No memory and a timeout count as no. Sleeps.
 */
export function* checkPages(
  gpusvm: DrmGpusvm,
  notifier: DrmGpusvmNotifier,
  startPage: number,
  endPage: number,
): Task<boolean> {
  const { machine } = gpusvm;
  const mm = gpusvm.requireMm();
  const scratch = gpusvm.pfnPool.take(notifier, startPage, endPage, null);
  if (scratch === null) return false;
  const deadlineNs = machine.clock.nowNs + HMM_RANGE_DEFAULT_TIMEOUT_NS;
  let err: Errno;
  for (;;) {
    scratch.notifierSeq = yield* mmuIntervalReadBegin(notifier);
    err = yield* hmmRangeFault(mm, scratch);
    if (err !== -EBUSY || machine.clock.nowNs > deadlineNs) break;
    chargeRetry(machine);
  }
  const { pfns } = scratch;
  const npages = endPage - startPage;
  let populated = err === 0;
  for (let i = 0; populated && i < npages; i += 1 << hmmPfnToOrder(pfns, i, npages)) {
    populated = (pfns.flags[i]! & HMM_PFN_VALID) !== 0;
  }
  gpusvm.pfnPool.give(scratch);
  return populated;
}
