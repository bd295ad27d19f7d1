import { drmGpusvmPagesValid } from '@gpusvm/drm-gpusvm';
import { EAGAIN, type Errno, type SchedPoint, schedPoint, type Task } from '@gpusvm/kernel';
import { BIND_US_4K, sizeClass } from './counters.ts';
import type { GpuVma } from './gpu-vma.ts';
import { tellBound } from './device-trace.ts';
import { XE_PAGE_RW, XE_PPGTT_PTE_DM, XE_USM_PPGTT_PTE_AE } from './pt-encoding.ts';
import type { LeafFormat } from './pt-fill.ts';
import { ptUnbindRange } from './pt-unbind.ts';
import type { XeSvmRange } from './svm-range.ts';
import type { XeVm } from './vm.ts';

/** Tables are built, the commit gate is not passed yet. */
export const PT_STAGED: SchedPoint = schedPoint('xe_pt: staged, not committed');

/**
 * Bind a range (xe_vm_range_rebind and the update pipeline of xe_pt.c): stage tables, take the notifier lock,
 * check that the pages are still valid, write, set the tile bits, release. The lock is held from the check to the
 * bits. No TLB flush: a zap has flushed old entries and absent ones are not cached. VM lock held for writing.
 *
 * @returns 0; -EAGAIN when the pages were invalidated meanwhile; -ENOMEM; -EINVAL for device memory that the
 * hardware cannot map.
 */
export function* xeVmRangeRebind(vm: XeVm, vma: GpuVma, range: XeSvmRange): Task<Errno> {
  const { xe } = vm;
  const startNs = xe.machine.clock.nowNs;
  vm.lock.assertHeldWrite();
  const { notifierLock } = vm.svm;
  yield* notifierLock.downRead();
  let err: Errno = drmGpusvmPagesValid(vm.svm, range.pages) ? 0 : -EAGAIN;
  if (err === 0) {
    vm.cursor.reset(range.pages.addrs, range.sizePages);
    err = vm.stage.stage(vm.root, range.startPage, range.endPage, vm.cursor, leafFormat(vm, vma));
  }
  notifierLock.upRead();
  if (err !== 0) return err;
  if (xe.machine.scheduler.preemptive) yield PT_STAGED;
  yield* notifierLock.downRead();
  if (!xe.ops.preCommit(vm, range)) {
    notifierLock.upRead();
    vm.stage.abort();
    return -EAGAIN;
  }
  const rebind = range.tilePresent;
  const entries = vm.stage.updates;
  vm.stage.commit(rebind);
  range.tilePresent = true;
  range.tileInvalidated = false;
  if (xe.deviceTrace.map.enabled) tellBound(vm, range);
  notifierLock.upRead();
  xe.counters.values[BIND_US_4K + sizeClass(range.sizePages)]! += (xe.machine.clock.nowNs - startNs) / 1000;
  const { startPage, endPage } = range;
  if (xe.trace.bind.enabled) xe.trace.bind.emit({ asid: vm.asid, startPage, endPage, entries, rebind });
  return 0;
}

/**
 * Remove a range's entries (xe_vm_range_unbind). VM lock held for writing. Sleeps for the flush, which is left
 * out when a zap has flushed already.
 */
export function* xeVmRangeUnbind(vm: XeVm, range: XeSvmRange): Task<void> {
  if (!range.tilePresent) return;
  const { notifierLock } = vm.svm;
  yield* notifierLock.downRead();
  const present = ptUnbindRange(vm.xe.pt, vm.root, 0, range.startPage, range.endPage);
  range.tilePresent = false;
  range.tileInvalidated = false;
  notifierLock.upRead();
  if (present > 0) yield* vm.xe.ops.flushTlb(vm, range.startPage, range.endPage);
}

/**
 * Leaf flags of an area: RW unless read-only; AE on device memory unless the area is for CPU atomics; on system
 * memory only where the hardware can and the area asks for device atomics.
 */
function leafFormat(vm: XeVm, vma: GpuVma): LeafFormat {
  const { options } = vm.xe;
  const write = vm.xe.ops.mayWrite(vma) ? XE_PAGE_RW : 0;
  const systemAtomics = options.deviceAtomicsOnSystem && vma.atomic === 'device';
  const format = vm.leafFormat;
  format.vramFlags = write | XE_PPGTT_PTE_DM | (vma.atomic === 'cpu' ? 0 : XE_USM_PPGTT_PTE_AE);
  format.systemFlags = write | (systemAtomics ? XE_USM_PPGTT_PTE_AE : 0);
  return format;
}
