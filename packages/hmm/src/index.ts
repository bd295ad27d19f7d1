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
export { splitFolio } from './folio-split.ts';
export * from './folio-flags.ts';
export { FolioTable } from './folio-table.ts';
export * from './hmm-pfns.ts';
export type { InstallOptions } from './install-run.ts';
export { migrateDeviceFinalize, migrateDevicePages, migrateDevicePfns } from './migrate-device.ts';
export * from './migrate-pfns.ts';
export {
  MigrateVma,
  type MigrateVmaArgs,
  migrateVmaFinalize,
  migrateVmaPages,
  migrateVmaSetup,
} from './migrate-vma.ts';
export { type EntryCounts, Mm } from './mm.ts';
export {
  MmuIntervalNotifier,
  type MmuIntervalNotifierOps,
  MmuNotifierSubscriptions,
  mmuIntervalCheckRetry,
  mmuIntervalNotifierInsert,
  mmuIntervalNotifierRemove,
  mmuIntervalReadBegin,
  mmuIntervalReadRetry,
  mmuIntervalSetSeq,
  mmuNotifierInvalidateRangeEnd,
  mmuNotifierInvalidateRangeStart,
} from './mmu-interval-notifier.ts';
export { type MmuNotifierEvent, type MmuNotifierRange, mmuNotifierRange } from './mmu-notifier-range.ts';
export type { Protection } from './mprotect.ts';
export { AddressSpace, PageCache } from './page-cache.ts';
export { PageTable, PmdNode } from './page-table.ts';
export * from './pte.ts';
export * from './protocol-tracepoints.ts';
export { type HmmRange, hmmRangeFault, hmmRangeFaultUnlockedTimeout } from './range-fault.ts';
export type { RmapPlace } from './rmap.ts';
export * from './tracepoints.ts';
export { tryToMigrate } from './unmap-folio.ts';
export { VM_FAULT_OOM, VM_FAULT_SIGBUS, VM_FAULT_SIGSEGV } from './vm-fault.ts';
export { Vma, type VmaOptions } from './vma.ts';
