export { type GpusvmCounterName, gpusvmCounters } from './counters.ts';
export type { DrmGpusvmCtx } from './ctx.ts';
export { drmGpusvmDeviceName } from './device-trace.ts';
export { drmGpusvmRangeFindOrInsert } from './find-or-insert.ts';
export { drmGpusvmFindVmaStart } from './find-vma-start.ts';
export { drmGpusvmFini } from './fini.ts';
export { drmGpusvmGetPages } from './get-pages.ts';
export { DrmGpusvm, drmGpusvmInit, type DrmGpusvmOps, type DrmGpusvmOptions } from './gpusvm.ts';
export { drmGpusvmForEachNotifier, DrmGpusvmNotifier, drmGpusvmNotifierFind } from './notifier.ts';
export { DrmGpusvmPages, type DrmGpusvmPagesFlags, drmGpusvmPagesValid, type PagesLookup } from './pages.ts';
export { drmGpusvmRangeEvict } from './range-evict.ts';
export {
  drmGpusvmForEachRange,
  drmGpusvmHasMapping,
  DrmGpusvmRange,
  drmGpusvmRangeFind,
  type DrmGpusvmRangeFlags,
  drmGpusvmRangeGet,
  drmGpusvmRangePut,
  drmGpusvmRangeRemove,
} from './range.ts';
export * from './sched-points.ts';
export { drmGpusvmScanMm, DrmGpusvmScanResult } from './scan-mm.ts';
export { drmGpusvmRangeSetUnmapped } from './set-unmapped.ts';
export * from './tracepoints.ts';
export { drmGpusvmFreePages, drmGpusvmUnmapPages } from './unmap-pages.ts';
