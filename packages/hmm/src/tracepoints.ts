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

export const MMU_INVALIDATE: TracepointDef<InvalidateEvent> = defineTracepoint('mmu_notifier_invalidate');
export const HMM_RANGE_FAULT: TracepointDef<RangeFaultEvent> = defineTracepoint('hmm_range_fault');
export const MIGRATE: TracepointDef<MigrateEvent> = defineTracepoint('migrate_vma');
export const CPU_FAULT_TRACE: TracepointDef<CpuFaultEvent> = defineTracepoint('cpu_fault');
export const FOLIO_SPLIT: TracepointDef<FolioSplitEvent> = defineTracepoint('folio_split');
