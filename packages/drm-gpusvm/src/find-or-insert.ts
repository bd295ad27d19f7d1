import { type Mm, mmuIntervalNotifierInsert, type Vma } from '@gpusvm/hmm';
import { alignDown, EFAULT, EINVAL, EIO, ENOENT, ENOMEM, EPERM, type Errno, type Task } from '@gpusvm/kernel';
import { checkPages } from './check-pages.ts';
import { chooseChunk } from './chunk-size.ts';
import { FIND_OR_INSERT } from './counters.ts';
import type { DrmGpusvmCtx } from './ctx.ts';
import type { DrmGpusvm } from './gpusvm.ts';
import {
  DrmGpusvmNotifier,
  drmGpusvmNotifierFind,
  NOTIFIER_OPS,
  notifierInsert,
  notifierRegistered,
  notifierRemove,
} from './notifier.ts';
import { DrmGpusvmRange, drmGpusvmRangeFind, rangeInsert } from './range.ts';
import { NOTIFIER_REGISTERED } from './sched-points.ts';

/**
 * The range that contains a faulting page; made, together with its notifier, if there is none
 * (drm_gpusvm_range_find_or_insert, drm_gpusvm.c 7.3). Driver lock held for writing, which is also what keeps the
 * returned range: no reference is taken. Sleeps.
 *
 * @param gpuvaStartPage - first page of the GPU VMA; a new range stays inside `[gpuvaStartPage, gpuvaEndPage)`.
 * @returns the range; -EINVAL outside of the mirror or when no chunk fits; -EFAULT when the mm is dying; -ENOENT
 * without a CPU VMA; -EPERM when a write is wanted and the VMA forbids it; -EIO for an I/O VMA (7.3); -ENOMEM; what
 * `mmu_interval_notifier_insert` returns. After an error nothing is left behind.
 */
export function* drmGpusvmRangeFindOrInsert(
  gpusvm: DrmGpusvm,
  faultPage: number,
  gpuvaStartPage: number,
  gpuvaEndPage: number,
  ctx: DrmGpusvmCtx,
): Task<DrmGpusvmRange | Errno> {
  gpusvm.assertDriverLock();
  gpusvm.counters[FIND_OR_INSERT]!++;
  const mm = gpusvm.requireMm();
  // The end is exclusive; the kernel takes one address too much (quirk Qf).
  if (faultPage < gpusvm.startPage || faultPage >= gpusvm.endPage) return -EINVAL;
  if (!mm.mmgetNotZero()) return -EFAULT;
  const result = yield* withMm(gpusvm, mm, faultPage, gpuvaStartPage, gpuvaEndPage, ctx);
  mm.mmput();
  return result;
}

/** Steps 3 to 11, with a user reference on the mm. */
function* withMm(
  gpusvm: DrmGpusvm,
  mm: Mm,
  faultPage: number,
  gpuvaStartPage: number,
  gpuvaEndPage: number,
  ctx: DrmGpusvmCtx,
): Task<DrmGpusvmRange | Errno> {
  const known = drmGpusvmNotifierFind(gpusvm, faultPage, faultPage + 1);
  const notifier = known ?? (yield* registerNotifier(gpusvm, mm, faultPage));
  if (typeof notifier === 'number') return notifier;
  if (!mm.mmapLock.tryDownRead()) yield* mm.mmapLock.downRead();
  const found = yield* lookup(gpusvm, mm, notifier, faultPage, gpuvaStartPage, gpuvaEndPage, ctx);
  mm.mmapLock.upRead();
  if (known === null) {
    if (typeof found === 'number') yield* notifierRemove(gpusvm, notifier);
    else notifierInsert(gpusvm, notifier);
  }
  return found;
}

/** Subscribe to the window around a page, before the mmap lock is taken: inserting takes mm-wide locks itself. */
function* registerNotifier(gpusvm: DrmGpusvm, mm: Mm, faultPage: number): Task<DrmGpusvmNotifier | Errno> {
  if (gpusvm.sites.notifier.shouldFail()) return -ENOMEM;
  const notifier = new DrmGpusvmNotifier(gpusvm, faultPage);
  const err = yield* mmuIntervalNotifierInsert(
    notifier,
    mm,
    notifier.startPage,
    gpusvm.notifierPages,
    NOTIFIER_OPS,
  );
  if (err !== 0) return err;
  notifierRegistered(gpusvm, notifier);
  if (gpusvm.machine.scheduler.preemptive) yield NOTIFIER_REGISTERED;
  return notifier;
}

/** Steps 4 to 10, under the mmap lock. */
function* lookup(
  gpusvm: DrmGpusvm,
  mm: Mm,
  notifier: DrmGpusvmNotifier,
  faultPage: number,
  gpuvaStartPage: number,
  gpuvaEndPage: number,
  ctx: DrmGpusvmCtx,
): Task<DrmGpusvmRange | Errno> {
  const vma = mm.vmaLookup(faultPage);
  if (vma === null) return -ENOENT;
  if (!ctx.readOnly && !vma.write) return -EPERM;
  if (vma.io && gpusvm.machine.profile.gpusvm.refuseIoVma) return -EIO;
  const existing = drmGpusvmRangeFind(notifier, faultPage, faultPage + 1);
  if (existing !== null) return existing;
  const limits = {
    startPage: Math.max(vma.startPage, notifier.startPage, gpuvaStartPage),
    endPage: Math.min(vma.endPage, notifier.endPage, gpuvaEndPage),
    checkPagesThreshold: ctx.checkPagesThreshold,
  };
  const pages = yield* chooseChunk(
    gpusvm.chunkPages,
    faultPage,
    limits,
    (start, end) => drmGpusvmRangeFind(notifier, start, end) !== null,
    (start, end) => checkPages(gpusvm, notifier, start, end),
  );
  if (pages === 0) return -EINVAL;
  const range = allocRange(gpusvm);
  if (range === null) return -ENOMEM;
  range.flags.migrateDevmem = ctx.devmemPossible && mayMigrate(vma);
  range.place(notifier, alignDown(faultPage, pages), pages);
  yield* rangeInsert(range);
  return range;
}

/** Only private anonymous memory of ordinary pages goes to a device (7.0 and 7.3). */
function mayMigrate(vma: Vma): boolean {
  return vma.anonymous && !vma.hugetlb;
}

function allocRange(gpusvm: DrmGpusvm): DrmGpusvmRange | null {
  if (gpusvm.sites.range.shouldFail()) return null;
  return gpusvm.ops?.rangeAlloc === undefined ? new DrmGpusvmRange(gpusvm) : gpusvm.ops.rangeAlloc(gpusvm);
}
