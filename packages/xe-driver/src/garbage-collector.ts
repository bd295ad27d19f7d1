import { drmGpusvmRangeRemove, drmGpusvmUnmapPages } from '@gpusvm/drm-gpusvm';
import { EINVAL, ENOENT, type Errno, type SchedPoint, schedPoint, type Task } from '@gpusvm/kernel';
import { xeVmRangeUnbind } from './bind.ts';
import type { XeSvmRange } from './svm-range.ts';
import type { XeVm } from './vm.ts';

/** The collector took a range off its list. */
export const GC_TAKEN: SchedPoint = schedPoint('xe_svm_garbage_collector: range taken');

/** Put a range on the list once and wake the worker (xe_svm_garbage_collector_add_range). Does not sleep. */
export function queueGarbage(vm: XeVm, range: XeSvmRange): void {
  if (!range.collecting) {
    range.collecting = true;
    vm.garbage.push(range);
  }
  if (vm.garbageEnabled) vm.xe.garbageQueue.queueWork(vm.garbageWork);
}

/**
 * Destroy the ranges whose memory went away (xe_svm_garbage_collector). VM lock held for writing.
 *
 * @returns 0; -ENOENT when the VM is closed or was killed by an error; -EINVAL for a range outside every area.
 */
export function* xeSvmGarbageCollector(vm: XeVm): Task<Errno> {
  vm.lock.assertHeldWrite();
  if (vm.closed || vm.killed) return -ENOENT;
  while (vm.garbage.length > 0) {
    const range = vm.garbage.shift()!;
    if (vm.xe.machine.scheduler.preemptive) yield GC_TAKEN;
    const { startPage } = range;
    yield* xeSvmRangeDestroy(vm, range);
    // Areas never carry MADV_AUTORESET here, so there are no attributes to reset.
    if (vm.vmas.lookup(startPage) === null) {
      vm.killed = true;
      return -EINVAL;
    }
  }
  return 0;
}

/** The worker: the same, under the lock, for as long as nobody closed the VM. */
export function* garbageWorker(vm: XeVm): Task<void> {
  yield* vm.lock.downWrite();
  yield* xeSvmGarbageCollector(vm);
  vm.lock.upWrite();
}

/** Unbind, DMA-unmap, remove: what ends a range. VM lock held for writing. */
export function* xeSvmRangeDestroy(vm: XeVm, range: XeSvmRange): Task<void> {
  yield* xeVmRangeUnbind(vm, range);
  yield* drmGpusvmUnmapPages(vm.svm, range.pages, range.sizePages, vm.plainCtx);
  yield* drmGpusvmRangeRemove(vm.svm, range);
}
