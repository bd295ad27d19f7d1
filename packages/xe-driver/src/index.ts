export { evictVram } from './bo-evict.ts';
export { XE_TIMING, type XeBehaviour, type XeTiming, xeBehaviour } from './config.ts';
export { XeGpu } from './gpu.ts';
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
export { xePagefaultHandler } from './pagefault-queue.ts';
export { xeVmPrefetch } from './prefetch.ts';
export { PtPool } from './pt.ts';
export { PtWalker } from './pt-walk.ts';
export type { XeSvmOps } from './svm-invalidate.ts';
export * from './trace.ts';
export { xeVmBindUserptr } from './userptr.ts';
export { type FaultRecord, type MirrorOptions, XE_VM_PAGES, XeVm } from './vm.ts';
export { XeDevice, type XeDeviceOptions, type XeSettings } from './xe-device.ts';
