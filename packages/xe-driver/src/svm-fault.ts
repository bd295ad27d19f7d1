import {
  DrmGpusvmScanResult,
  drmGpusvmGetPages,
  drmGpusvmRangeEvict,
  drmGpusvmRangeFindOrInsert,
  drmGpusvmScanMm,
  type DrmGpusvmCtx,
} from '@gpusvm/drm-gpusvm';
import { type DrmPagemap, drmPagemapPopulateMm } from '@gpusvm/drm-pagemap';
import {
  EACCES,
  EAGAIN,
  EBUSY,
  EFAULT,
  EINVAL,
  EOPNOTSUPP,
  EPERM,
  type Errno,
  type Task,
} from '@gpusvm/kernel';
import { xeVmRangeRebind } from './bind.ts';
import { ATOMIC_SVM_TIMESLICE_MS } from './config.ts';
import {
  GET_PAGES_US_4K,
  MIGRATE_COUNT_4K,
  MIGRATE_US_4K,
  PAGEFAULT_COUNT_4K,
  PAGEFAULT_US_4K,
  SVM_PAGEFAULT_COUNT,
  sizeClass,
  VALID_PAGEFAULT_COUNT_4K,
} from './counters.ts';
import { xeSvmGarbageCollector } from './garbage-collector.ts';
import type { GpuVma } from './gpu-vma.ts';
import type { XeSvmRange } from './svm-range.ts';
import type { XeVm } from './vm.ts';

/** Tries to migrate when an atomic access insists on device memory. */
const DEVMEM_ONLY_TRIES = 3;
/** Pages of the smallest chunk whose neighbours are looked at before it is chosen (64K). */
const CHECK_PAGES_THRESHOLD = 16;

/** What one round of the fault loop ended with. */
type Round = { readonly retry: boolean; readonly err: Errno };
const retryAfter = (err: Errno): Round => ({ retry: true, err });
const SERVED: Round = { retry: false, err: 0 };
const fail = (err: Errno): Round => ({ retry: false, err });

/** State of a fault over its rounds. */
interface FaultState {
  readonly vm: XeVm;
  readonly vma: GpuVma;
  readonly page: number;
  readonly ctx: DrmGpusvmCtx;
  readonly devmemOnly: boolean;
  triesLeft: number;
  /** Size class of the range, once it is known. */
  size: number;
}

/**
 * Serve a fault on a mirrored area (xe_svm_handle_pagefault, xe_svm.c). VM lock held for writing.
 *
 * @returns 0 when the range is bound (or, with quirk Qd of 7.3 and before, when get_pages failed for good);
 * -EACCES for an atomic access that may not have device memory; -ENOENT when the VM is gone; what
 * find_or_insert, the migration of an atomic access or the bind return; the last error of a fault loop that runs
 * into its bound.
 */
export function* xeSvmHandlePagefault(vm: XeVm, vma: GpuVma, page: number, atomic: boolean): Task<Errno> {
  const needVram = needVramForAtomic(vm, vma, atomic);
  if (needVram < 0) return needVram;
  vm.xe.counters.values[SVM_PAGEFAULT_COUNT]!++;
  let area: GpuVma | null = vma;
  for (let n = 0; n < vm.xe.behaviour.faultRounds; n++) {
    const err = yield* handleOnce(vm, area, page, needVram > 0);
    if (err !== -EAGAIN) return err;
    area = vm.vmas.lookup(page);
    if (area === null) return -EINVAL;
  }
  return noProgress(vm, page, -EFAULT);
}

/** xe_vma_need_vram_for_atomic: 0, 1, or -EACCES. */
function needVramForAtomic(vm: XeVm, vma: GpuVma, atomic: boolean): number {
  if (!atomic) return 0;
  if (vma.atomic === 'cpu') return -EACCES;
  if (vma.atomic === 'device') return vm.xe.options.deviceAtomicsOnSystem ? 0 : 1;
  return 1;
}

/** __xe_svm_handle_pagefault. */
function* handleOnce(vm: XeVm, vma: GpuVma, page: number, needVram: boolean): Task<Errno> {
  const { xe } = vm;
  const devmemPossible = xe.pagemap !== null;
  const devmemOnly = needVram && devmemPossible;
  const ctx: DrmGpusvmCtx = {
    devicePrivatePageOwner: devmemPossible ? xe.peerOwner : null,
    checkPagesThreshold: devmemPossible ? CHECK_PAGES_THRESHOLD : 0,
    timesliceMs: devmemOnly ? ATOMIC_SVM_TIMESLICE_MS : 0,
    inNotifier: false,
    readOnly: vma.readOnly,
    devmemPossible,
    devmemOnly,
    allowMixed: false,
  };
  const triesLeft = devmemOnly ? DEVMEM_ONLY_TRIES : 1;
  const state: FaultState = { vm, vma, page, ctx, devmemOnly, triesLeft, size: 0 };
  const startNs = xe.machine.clock.nowNs;
  let last: Errno = 0;
  for (let n = 0; n < xe.behaviour.faultRounds; n++) {
    const round = yield* faultRound(state);
    last = round.err;
    if (round.retry) continue;
    xe.counters.values[PAGEFAULT_COUNT_4K + state.size]!++;
    xe.counters.values[PAGEFAULT_US_4K + state.size]! += (xe.machine.clock.nowNs - startNs) / 1000;
    return round.err;
  }
  return noProgress(vm, page, last);
}

function* faultRound(state: FaultState): Task<Round> {
  const { vm, vma, page, ctx, devmemOnly } = state;
  const { xe } = vm;
  const collected = yield* xeSvmGarbageCollector(vm);
  if (collected !== 0) return fail(collected);
  const found = yield* drmGpusvmRangeFindOrInsert(vm.svm, page, vma.startPage, vma.endPage, ctx);
  if (typeof found === 'number') return fail(found);
  const range = found as XeSvmRange;
  state.size = sizeClass(range.sizePages);
  if (devmemOnly && !range.flags.migrateDevmem) return fail(xe.behaviour.refusesUnmigratable ? -EACCES : 0);
  if (range.mapped && (!devmemOnly || range.isIn(xe.pagemap!))) {
    xe.counters.values[VALID_PAGEFAULT_COUNT_4K + state.size]!++;
    return SERVED;
  }
  state.triesLeft--;
  if (state.triesLeft >= 0 && xe.pagemap !== null && needsMigrate(range, xe.pagemap)) {
    const err = yield* allocVram(state, range, xe.pagemap);
    ctx.timesliceMs *= 2;
    if (err !== 0) {
      if (state.triesLeft === 0 && devmemOnly) return fail(err);
      // Without device memory the fault starts over; with it, get_pages goes first: it evicts mixed placements.
      if (!devmemOnly) return retryAfter(err);
    }
  }
  return yield* getPagesAndBind(state, range);
}

function* getPagesAndBind(state: FaultState, range: XeSvmRange): Task<Round> {
  const { vm, vma, ctx, devmemOnly } = state;
  const { behaviour } = vm.xe;
  const err = yield* getPages(state, range);
  if (err === -EOPNOTSUPP || err === -EFAULT || err === -EPERM) {
    ctx.timesliceMs *= 2;
    if (state.triesLeft > 0 || !devmemOnly) return retryAfter(err);
  }
  if (err !== 0) return behaviour.getPagesErrorIsSuccess ? SERVED : fail(err);
  const bound = yield* xeVmRangeRebind(vm, vma, range);
  if (bound !== -EAGAIN) return fail(bound);
  ctx.timesliceMs *= 2;
  return retryAfter(bound);
}

/** xe_svm_range_get_pages: with mixed placements the range is evicted, so that the next round finds one kind. */
function* getPages(state: FaultState, range: XeSvmRange): Task<Errno> {
  const { vm, ctx } = state;
  const { machine, counters } = vm.xe;
  const startNs = machine.clock.nowNs;
  const err = yield* drmGpusvmGetPages(
    vm.svm,
    range.pages,
    vm.mm,
    range.notifier,
    range.startPage,
    range.endPage,
    ctx,
  );
  if (err === -EOPNOTSUPP) yield* drmGpusvmRangeEvict(vm.svm, range);
  counters.values[GET_PAGES_US_4K + state.size]! += (machine.clock.nowNs - startNs) / 1000;
  return err;
}

/** xe_svm_range_needs_migrate_to_vram; the placement is looked at again under the notifier lock by the bind. */
function needsMigrate(range: XeSvmRange, dpagemap: DrmPagemap): boolean {
  return range.flags.migrateDevmem && !range.isIn(dpagemap);
}

/**
 * xe_svm_alloc_vram: migrate the range. After -EBUSY, once, everything else that migrates is kept out and the
 * range is evicted before the second try.
 */
function* allocVram(state: FaultState, range: XeSvmRange, dpagemap: DrmPagemap): Task<Errno> {
  const { vm, ctx } = state;
  const { machine, counters, migrateLock } = vm.xe;
  const { startPage, endPage } = range;
  const scan = yield* drmGpusvmScanMm(range, vm.xe.peerOwner, dpagemap.devPagemap);
  if (scan === DrmGpusvmScanResult.equal) return 0;
  const startNs = machine.clock.nowNs;
  yield* migrateLock.downRead();
  let err = yield* drmPagemapPopulateMm(dpagemap, startPage, endPage, vm.mm, ctx.timesliceMs);
  migrateLock.upRead();
  if (err === -EBUSY) {
    yield* migrateLock.downWrite();
    yield* drmGpusvmRangeEvict(vm.svm, range);
    err = yield* drmPagemapPopulateMm(dpagemap, startPage, endPage, vm.mm, ctx.timesliceMs);
    migrateLock.upWrite();
  }
  counters.values[MIGRATE_COUNT_4K + state.size]!++;
  counters.values[MIGRATE_US_4K + state.size]! += (machine.clock.nowNs - startNs) / 1000;
  return err;
}

/** The bound of the fault loop is reached; -EAGAIN would mean something else to the callers. */
function noProgress(vm: XeVm, page: number, err: Errno): Errno {
  const { machine, behaviour } = vm.xe;
  if (!behaviour.boundsFaultLoop) {
    machine.warn('xe_svm_handle_pagefault', `the fault of page ${page} makes no progress (quirk Qe)`);
  }
  return err === -EAGAIN ? -EFAULT : err;
}
