import { defineTracepoint, type TracepointDef } from '@gpusvm/kernel';

/** A run of virtual pages of one address space. */
export interface PageRangeEvent {
  readonly mm: string;
  readonly startPage: number;
  readonly endPage: number;
}

/** An invalidation begins or ends (mmu_notifier_invalidate_range_start/end). */
export interface InvalidateEvent extends PageRangeEvent {
  readonly event: string;
  readonly phase: 'start' | 'end';
  /** `invalidate_seq` after the step. */
  readonly seq: number;
}

/** Result of a device fault. */
export interface RangeFaultEvent extends PageRangeEvent {
  readonly err: number;
}

/** A migration passed a phase; `pages` is what is still migrating. */
export interface MigrateEvent {
  readonly phase: 'setup' | 'pages' | 'finalize';
  readonly mm: string;
  readonly startPage: number;
  readonly slots: number;
  readonly pages: number;
}

/** A CPU fault was handled. */
export interface CpuFaultEvent {
  readonly mm: string;
  readonly page: number;
  readonly write: boolean;
  /** VM_FAULT_* code, 0 when the access may be retried. */
  readonly code: number;
}

/** A large folio was split into single pages. */
export interface FolioSplitEvent {
  readonly head: number;
  readonly order: number;
  readonly err: number;
}

/** A process was copied, or could not be (fork). */
export interface ForkEvent {
  readonly parent: string;
  readonly child: string;
  readonly err: number;
}

/** Page-table entries moved to another virtual address (mremap). */
export interface MremapEvent {
  readonly mm: string;
  readonly oldPage: number;
  readonly newPage: number;
  readonly pages: number;
}

/** A folio went to swap, or a page came back. */
export interface SwapEvent {
  readonly direction: 'out' | 'in';
  readonly pfn: number;
  readonly pages: number;
  /** First slot. */
  readonly slot: number;
}

/** A page became exclusive to a device, or ended to be so. */
export interface ExclusiveEvent {
  readonly mm: string;
  readonly page: number;
  readonly pfn: number;
  readonly on: boolean;
}

/** A 2 MiB block was collapsed into one folio, or why not. */
export interface CollapseEvent {
  readonly mm: string;
  readonly startPage: number;
  readonly result: string;
}

/** The GUP pins of a folio changed. */
export interface PinEvent {
  readonly head: number;
  readonly pins: number;
}

export const MMU_INVALIDATE: TracepointDef<InvalidateEvent> = defineTracepoint('mmu_notifier_invalidate');
export const HMM_RANGE_FAULT: TracepointDef<RangeFaultEvent> = defineTracepoint('hmm_range_fault');
export const MIGRATE: TracepointDef<MigrateEvent> = defineTracepoint('migrate_vma');
export const CPU_FAULT_TRACE: TracepointDef<CpuFaultEvent> = defineTracepoint('cpu_fault');
export const FOLIO_SPLIT: TracepointDef<FolioSplitEvent> = defineTracepoint('folio_split');
export const MM_FORK: TracepointDef<ForkEvent> = defineTracepoint('mm_fork');
export const MM_MREMAP: TracepointDef<MremapEvent> = defineTracepoint('mm_mremap');
export const MM_SWAP: TracepointDef<SwapEvent> = defineTracepoint('mm_swap');
export const DEVICE_EXCLUSIVE: TracepointDef<ExclusiveEvent> = defineTracepoint('device_exclusive');
export const COLLAPSE_TRACE: TracepointDef<CollapseEvent> = defineTracepoint('mm_collapse');
export const PAGE_PIN: TracepointDef<PinEvent> = defineTracepoint('page_pin');
