export { PT_STAGED } from './bind.ts';
export { BO_VICTIM, evictVram } from './bo-evict.ts';
export { XE_TIMING, type XeBehaviour, type XeTiming, xeBehaviour } from './config.ts';
export { xeCounters, type XeCounters } from './counters.ts';
export { GC_TAKEN } from './garbage-collector.ts';
export { GPU_REPLAY, XeGpu } from './gpu.ts';
export type { AtomicAttribute, GpuVma } from './gpu-vma.ts';
export { type XeMadviseAttribute, xeVmMadvise } from './madvise.ts';
export {
  XE_PAGEFAULT_ACCESS_ATOMIC,
  XE_PAGEFAULT_ACCESS_PREFETCH,
  XE_PAGEFAULT_ACCESS_READ,
  XE_PAGEFAULT_ACCESS_WRITE,
  XE_PAGEFAULT_TYPE_LEVEL_NACK,
  type XePagefault,
} from './pagefault.ts';
export { PAGEFAULT_POPPED, PAGEFAULT_SERVED, xePagefaultHandler } from './pagefault-queue.ts';
export { COPY_DONE, COPY_JOB } from './migrate.ts';
export { xeVmPrefetch } from './prefetch.ts';
export { PtPool } from './pt.ts';
export { PtWalker } from './pt-walk.ts';
export { SVM_ZAPPED, type XeSvmOps } from './svm-invalidate.ts';
export { TLB_PENDING } from './tlb-inval.ts';
export * from './trace.ts';
export { xeVmBindUserptr } from './userptr.ts';
export { type FaultRecord, type MirrorOptions, XE_VM_PAGES, XeVm } from './vm.ts';
export { XeDevice, type XeDeviceOptions, type XeSettings } from './xe-device.ts';
