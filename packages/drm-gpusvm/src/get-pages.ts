import { PagemapAddrs } from '@gpusvm/drm-pagemap';
import {
  HMM_PFN_REQ_FAULT,
  HMM_PFN_REQ_WRITE,
  type Mm,
  type MmuIntervalNotifier,
  mmuIntervalReadBegin,
  mmuIntervalReadRetry,
} from '@gpusvm/hmm';
import { EAGAIN, EBUSY, EFAULT, EINVAL, ENOMEM, type Errno, type Task } from '@gpusvm/kernel';
import { GET_PAGES, GET_PAGES_FAST, GET_PAGES_RETRY } from './counters.ts';
import type { DrmGpusvmCtx } from './ctx.ts';
import type { DrmGpusvm } from './gpusvm.ts';
import { chargeRetry, faultUnlocked, HMM_RANGE_DEFAULT_TIMEOUT_NS } from './hmm-fault.ts';
import { mapPages } from './map-loop.ts';
import { type DrmGpusvmPages, drmGpusvmPagesValid, NO_ADDRS } from './pages.ts';
import { ADDRS_ALLOCATED, PAGES_FAULTED, PAGES_MAPPED_UNLOCKED, SEQ_READ } from './sched-points.ts';
import { tellMapped } from './device-trace.ts';
import type { PfnScratch } from './scratch.ts';

/** What {@link lookUnlocked} says when the pages have to be collected. Never an errno. */
const NOT_MAPPED = 1;

/**
 * Collect the CPU pages of `[startPage, endPage)` and map them for the device of `pages`
 * (drm_gpusvm_get_pages, drm_gpusvm.c 7.3). The driver lock serialises callers of one object in the kernel; here two at
 * once are safe too. The notifier lock and the mmap lock are not held; sleeps.
 *
 * On success the pages are valid until the next invalidation; before using them the driver takes the notifier lock and
 * asks `drmGpusvmPagesValid`. After an error nothing is mapped that was not before.
 *
 * @param notifier - subscription that covers the span: a range's, or the driver's own.
 * @returns 0; -EINVAL without a device; -ENOMEM; -EFAULT when the mm is dying, the range was unmapped, DMA mapping failed, or
 * a system page turned up with `devmemOnly`; -EPERM for a write to a read-only mapping; -EOPNOTSUPP for a mixture that
 * was not allowed; -EBUSY after 1000 ms of collisions; -EINTR as HMM (7.3).
 */
export function* drmGpusvmGetPages(
  gpusvm: DrmGpusvm,
  pages: DrmGpusvmPages,
  mm: Mm,
  notifier: MmuIntervalNotifier,
  startPage: number,
  endPage: number,
  ctx: DrmGpusvmCtx,
): Task<Errno> {
  const { machine, trace } = gpusvm;
  gpusvm.counters[GET_PAGES]!++;
  if (pages.dev === null) return -EINVAL;
  const deadlineNs = machine.clock.nowNs + HMM_RANGE_DEFAULT_TIMEOUT_NS;
  let rounds = 0;
  let err: Errno;
  for (;;) {
    rounds++;
    err = yield* getPagesOnce(gpusvm, pages, mm, notifier, startPage, endPage, ctx, deadlineNs);
    if (err !== -EAGAIN) break;
    gpusvm.counters[GET_PAGES_RETRY]!++;
    chargeRetry(machine);
  }
  if (trace.getPages.enabled) trace.getPages.emit({ gpusvm: gpusvm.name, startPage, endPage, err, rounds });
  if (machine.scheduler.preemptive) yield PAGES_MAPPED_UNLOCKED;
  return err;
}

/** One round; -EAGAIN = another one. */
function* getPagesOnce(
  gpusvm: DrmGpusvm,
  pages: DrmGpusvmPages,
  mm: Mm,
  notifier: MmuIntervalNotifier,
  startPage: number,
  endPage: number,
  ctx: DrmGpusvmCtx,
  deadlineNs: number,
): Task<Errno> {
  const { machine, pfnPool } = gpusvm;
  if (machine.clock.nowNs > deadlineNs) return -EBUSY;
  const seq = yield* mmuIntervalReadBegin(notifier);
  if (machine.scheduler.preemptive) yield SEQ_READ;
  if (pages.addrs !== NO_ADDRS) {
    const known = yield* lookUnlocked(gpusvm, pages, ctx, seq);
    if (known !== NOT_MAPPED) return known;
  }
  const scratch = pfnPool.take(notifier, startPage, endPage, ctx.devicePrivatePageOwner);
  if (scratch === null) return -ENOMEM;
  scratch.notifierSeq = seq;
  scratch.defaultFlags = ctx.readOnly ? HMM_PFN_REQ_FAULT : HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE;
  let err: Errno = -EFAULT;
  if (mm.mmgetNotZero()) {
    err = yield* faultUnlocked(machine, mm, scratch, deadlineNs);
    mm.mmput();
    if (machine.scheduler.preemptive) yield PAGES_FAULTED;
    if (err === 0) err = yield* mapUnderLock(gpusvm, pages, mm, scratch, ctx);
  }
  pfnPool.give(scratch);
  return err;
}

/** The fast path: nothing to do for pages that are mapped; an array without a mapping is dropped. */
function* lookUnlocked(
  gpusvm: DrmGpusvm,
  pages: DrmGpusvmPages,
  ctx: DrmGpusvmCtx,
  seq: number,
): Task<number> {
  const { notifierLock } = gpusvm;
  if (!notifierLock.tryDownRead()) yield* notifierLock.downRead();
  const valid = drmGpusvmPagesValid(gpusvm, pages);
  const result = valid ? takeMapped(gpusvm, pages, ctx, seq) : NOT_MAPPED;
  if (!valid) pages.addrs = NO_ADDRS;
  notifierLock.upRead();
  return result;
}

/**
 * Take pages as they are mapped already. System pages do not satisfy `devmemOnly`: the kernel's fast path hands them
 * out (candidate U4), so an atomic fault succeeds for ever without effect. They stay mapped, for the GPU uses them.
 */
function takeMapped(gpusvm: DrmGpusvm, pages: DrmGpusvmPages, ctx: DrmGpusvmCtx, seq: number): Errno {
  if (ctx.devmemOnly && pages.systemEntries > 0) return -EFAULT;
  gpusvm.counters[GET_PAGES_FAST]!++;
  pages.notifierSeq = seq;
  return 0;
}

/** The part under the notifier lock, which nothing may allocate under: the array is made outside, then all is checked anew. */
function* mapUnderLock(
  gpusvm: DrmGpusvm,
  pages: DrmGpusvmPages,
  mm: Mm,
  scratch: PfnScratch,
  ctx: DrmGpusvmCtx,
): Task<Errno> {
  const { notifierLock, machine, sites } = gpusvm;
  const npages = scratch.endPage - scratch.startPage;
  for (;;) {
    if (!notifierLock.tryDownRead()) yield* notifierLock.downRead();
    const ready = pages.addrs.addr.length >= npages;
    const err = ready || pages.flags.unmapped ? mapLocked(gpusvm, pages, mm, scratch, ctx) : 0;
    const stale = mmuIntervalReadRetry(scratch.notifier, scratch.notifierSeq);
    notifierLock.upRead();
    if (ready || err !== 0) return err;
    if (stale) return -EAGAIN;
    if (sites.addrs.shouldFail()) return -ENOMEM;
    pages.addrs = new PagemapAddrs(npages);
    gpusvm.reserveSystemPages(npages);
    if (machine.scheduler.preemptive) yield ADDRS_ALLOCATED;
  }
}

function mapLocked(
  gpusvm: DrmGpusvm,
  pages: DrmGpusvmPages,
  mm: Mm,
  scratch: PfnScratch,
  ctx: DrmGpusvmCtx,
): Errno {
  const { notifier, notifierSeq, pfns, startPage, endPage } = scratch;
  if (pages.flags.unmapped) return -EFAULT;
  if (mmuIntervalReadRetry(notifier, notifierSeq)) return -EAGAIN;
  // Another caller was faster; its mapping and its IOVA state are live and must not be overwritten (bug G8).
  if (drmGpusvmPagesValid(gpusvm, pages)) return takeMapped(gpusvm, pages, ctx, notifierSeq);
  const err = mapPages(gpusvm, pages, mm.folios, pfns, endPage - startPage, ctx);
  if (err !== 0) return err;
  pages.notifierSeq = notifierSeq;
  if (gpusvm.trace.dmaPfn.enabled) tellMapped(gpusvm, pages, scratch);
  return 0;
}
