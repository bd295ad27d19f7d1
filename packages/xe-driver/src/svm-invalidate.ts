import {
  drmGpusvmPagesValid,
  drmGpusvmUnmapPages,
  type DrmGpusvmNotifier,
  drmGpusvmRangeSetUnmapped,
} from '@gpusvm/drm-gpusvm';
import type { MmuNotifierRange } from '@gpusvm/hmm';
import { type SchedPoint, schedPoint, type Task } from '@gpusvm/kernel';
import { SVM_TLB_INVAL_COUNT, SVM_TLB_INVAL_US } from './counters.ts';
import { tellFlushed } from './device-trace.ts';
import { queueGarbage } from './garbage-collector.ts';
import type { GpuVma } from './gpu-vma.ts';
import { ptZapRange } from './pt-walk.ts';
import type { XeSvmRange } from './svm-range.ts';
import type { XeVm } from './vm.ts';

/** Entries are zeroed, the TLB may still hold them. */
export const SVM_ZAPPED: SchedPoint = schedPoint('xe_svm_invalidate: zapped, TLB not flushed');

/**
 * The steps of an invalidation and what a bind asks, one table for each device. Replacing one of them is how a historical
 * bug is put back; nothing in this package does.
 */
export interface XeSvmOps {
  /** The commit gate of a bind (xe_pt_svm_userptr_pre_commit); notifier lock held. */
  preCommit(vm: XeVm, range: XeSvmRange): boolean;
  /** Whether entries of an area allow writes. */
  mayWrite(vma: GpuVma): boolean;
  /** Zero the entries of a range; the number of entries zeroed. Does not sleep. */
  zapPtes(vm: XeVm, range: XeSvmRange): number;
  /** Make the zeroes visible to the device (xe_device_wmb). Does not sleep. */
  deviceWriteBarrier(vm: XeVm, startPage: number, endPage: number): void;
  /** Flush and wait. */
  flushTlb(vm: XeVm, startPage: number, endPage: number): Task<void>;
  /** Take the DMA mappings of a range away. */
  unmapPages(vm: XeVm, range: XeSvmRange): Task<void>;
}

/** The correct steps. */
export function xeSvmOps(): XeSvmOps {
  return {
    preCommit: (vm, range) => drmGpusvmPagesValid(vm.svm, range.pages),
    mayWrite: (vma) => !vma.readOnly,
    zapPtes(vm, range) {
      const { xe } = vm;
      const entries = ptZapRange(xe.pt, vm.root, 0, range.startPage, range.endPage);
      const { startPage, endPage } = range;
      if (xe.trace.zap.enabled) xe.trace.zap.emit({ asid: vm.asid, startPage, endPage, entries });
      return entries;
    },
    deviceWriteBarrier(vm, startPage, endPage) {
      const { invalidate } = vm.xe.trace;
      if (invalidate.enabled)
        invalidate.emit({ asid: vm.asid, startPage, endPage, step: 'barrier', event: '' });
    },
    *flushTlb(vm, startPage, endPage) {
      const { xe } = vm;
      const startNs = xe.machine.clock.nowNs;
      xe.counters.values[SVM_TLB_INVAL_COUNT]!++;
      yield* xe.tlbInval.wait(xe.tlbInval.submitRange(vm.asid, startPage, endPage));
      if (xe.deviceTrace.unmap.enabled) tellFlushed(vm, startPage, endPage);
      xe.counters.values[SVM_TLB_INVAL_US]! += (xe.machine.clock.nowNs - startNs) / 1000;
    },
    *unmapPages(vm, range) {
      const { invalidate } = vm.xe.trace;
      const { startPage, endPage } = range;
      if (invalidate.enabled)
        invalidate.emit({ asid: vm.asid, startPage, endPage, step: 'unmap', event: '' });
      yield* drmGpusvmUnmapPages(vm.svm, range.pages, range.sizePages, NOTIFIER_CTX);
    },
  };
}

const NOTIFIER_CTX = {
  devicePrivatePageOwner: null,
  checkPagesThreshold: 0,
  timesliceMs: 0,
  inNotifier: true,
  readOnly: false,
  devmemPossible: false,
  devmemOnly: false,
  allowMixed: false,
};

/**
 * MMU-notifier callback (xe_svm_invalidate); the notifier lock is held for writing. Strict order: zero entries,
 * write barrier, TLB flush complete, DMA unmap. Sleeps for the flush.
 */
export function* xeSvmInvalidate(vm: XeVm, notifier: DrmGpusvmNotifier, event: MmuNotifierRange): Task<void> {
  const ranges = vm.rangesIn(notifier, event.startPage, event.endPage);
  if (ranges.length === 0) return;
  const { invalidate } = vm.xe.trace;
  const asid = vm.asid;
  const { startPage, endPage } = event;
  if (invalidate.enabled) invalidate.emit({ asid, startPage, endPage, step: 'begin', event: event.event });
  if (!vm.closed) yield* zapAndFlush(vm, ranges, event);
  for (const range of ranges) {
    yield* vm.xe.ops.unmapPages(vm, range);
    if (event.event === 'UNMAP' && !vm.closed) {
      drmGpusvmRangeSetUnmapped(range, range.pages, event);
      queueGarbage(vm, range);
    }
  }
  if (invalidate.enabled) invalidate.emit({ asid, startPage, endPage, step: 'end', event: event.event });
}

function* zapAndFlush(vm: XeVm, ranges: readonly XeSvmRange[], event: MmuNotifierRange): Task<void> {
  const { ops, machine } = vm.xe;
  let flushStart = event.startPage;
  let flushEnd = event.endPage;
  let flush = false;
  for (const range of ranges) {
    if (range.flags.unmapped || !range.tilePresent) continue;
    // Exact bounds over all ranges; the kernel keeps the last range's and is saved by the rounding of the flush.
    flushStart = Math.min(flushStart, range.startPage);
    flushEnd = Math.max(flushEnd, range.endPage);
    if (range.tileInvalidated) continue;
    if (ops.zapPtes(vm, range) > 0) flush = true;
    range.tileInvalidated = true;
  }
  if (!flush) return;
  ops.deviceWriteBarrier(vm, flushStart, flushEnd);
  if (machine.scheduler.preemptive) yield SVM_ZAPPED;
  yield* ops.flushTlb(vm, flushStart, flushEnd);
}
