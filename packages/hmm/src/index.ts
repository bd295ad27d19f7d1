export { khugepaged } from './collapse.ts';
export type { HmmCounterName } from './counters.ts';
export { handleMmFault } from './cpu-fault.ts';
export * from './device-tracepoints.ts';
export {
  DevPagemap,
  type DevPagemapOps,
  type DevPagemapOptions,
  type VmFault,
  zoneDevicePageInit,
} from './dev-pagemap.ts';
export type { EntryCounts } from './entry-counts.ts';
export { makeDeviceExclusiveRange } from './device-exclusive-range.ts';
export { makeDeviceExclusive } from './device-exclusive.ts';
export { splitFolio } from './folio-split.ts';
export * from './folio-flags.ts';
export { type FolioReferences, FolioTable } from './folio-table.ts';
export { accessRemoteVm, type GupOptions, pinUserPages, unpinUserPages } from './gup.ts';
export {
  type DmaEntryListener,
  HmmDmaMap,
  type HmmDmaMode,
  type HmmP2p,
  hmmDmaMapAlloc,
  hmmDmaMapFree,
  hmmDmaMapPfn,
  hmmDmaUnmapPfn,
} from './hmm-dma-map.ts';
export * from './hmm-pfns.ts';
export type { InstallOptions } from './install-run.ts';
export { migrateDeviceCoherentFolio } from './migrate-coherent.ts';
export {
  migrateDeviceFinalize,
  migrateDevicePages,
  migrateDevicePfns,
  migrateDeviceRange,
} from './migrate-device.ts';
export * from './migrate-pfns.ts';
export {
  MigrateVma,
  type MigrateVmaArgs,
  migrateVmaFinalize,
  migrateVmaPages,
  migrateVmaSetup,
} from './migrate-vma.ts';
export { memoryFailure } from './memory-failure.ts';
export { Mm } from './mm.ts';
export {
  type FinishSlot,
  MmuIntervalNotifier,
  type MmuIntervalNotifierFinish,
  type MmuIntervalNotifierOps,
  mmuIntervalCheckRetry,
  mmuIntervalNotifierInsert,
  mmuIntervalNotifierInsertLocked,
  mmuIntervalNotifierRemove,
  mmuIntervalReadBegin,
  mmuIntervalReadRetry,
  mmuIntervalSetSeq,
} from './mmu-interval-notifier.ts';
export { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier-invalidate.ts';
export { type MmuNotifierEvent, type MmuNotifierRange, mmuNotifierRange } from './mmu-notifier-range.ts';
export { MmuNotifierSubscriptions } from './mmu-notifier-subscriptions.ts';
export type { MremapOptions } from './mremap.ts';
export type { Protection } from './mprotect.ts';
export { changeProtNuma } from './numa-hint.ts';
export { oomReap } from './oom-reap.ts';
export { AddressSpace, PageCache } from './page-cache.ts';
export { PageTable, PmdNode } from './page-table.ts';
export { PageTableLock } from './page-table-lock.ts';
export * from './pte.ts';
export * from './protocol-tracepoints.ts';
export { type HmmRange, hmmRangeFault } from './range-fault.ts';
export { hmmRangeFaultUnlockedTimeout } from './range-fault-unlocked.ts';
export { type CachedAt, type ReclaimOptions, reclaimFolio, shrinkAnon } from './reclaim.ts';
export type { RmapPlace } from './rmap.ts';
export type { Swap } from './swap.ts';
export * from './tracepoints.ts';
export { tryToMigrate } from './unmap-folio.ts';
export { Userfaultfd } from './userfaultfd.ts';
export { VM_FAULT_OOM, VM_FAULT_RETRY, VM_FAULT_SIGBUS, VM_FAULT_SIGSEGV } from './vm-fault.ts';
export { Vma, type VmaOptions } from './vma.ts';
export { truncate } from './truncate.ts';
export { clearRefs, msync } from './write-protect.ts';
