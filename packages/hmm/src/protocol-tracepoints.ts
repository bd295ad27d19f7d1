import {
  defineLiveTracepoint,
  type Machine,
  type Pfn,
  type Tracepoint,
  type TracepointDef,
} from '@gpusvm/kernel';
import type { HmmPfns } from './hmm-pfns.ts';
import type { MigratePfns } from './migrate-pfns.ts';
import type { Mm } from './mm.ts';
import type { MmuIntervalNotifier } from './mmu-interval-notifier.ts';
import type { MmuNotifierRange } from './mmu-notifier-range.ts';

/*
 * The steps of the protocols between mm and its users, with the objects themselves, for those who check them. The
 * tracepoints of tracepoints.ts say the same in plain values, for those who print.
 */

/** A subscription is told about a range, and comes back (mmu_interval_notifier_ops.invalidate). */
export interface NotifierCallbackEvent {
  /** `first`: the first pass of two is through, and `end` comes after the second. */
  readonly phase: 'begin' | 'first' | 'end';
  readonly mm: Mm;
  readonly sub: MmuIntervalNotifier;
  readonly range: MmuNotifierRange;
  readonly curSeq: number;
  /** What it returned; true at `begin`. */
  readonly result: boolean;
}

/** A range begins or ends to change, as the caller sees it. */
export interface NotifierRangeEvent {
  /** `refused`: start returns -EAGAIN, and the end must not be called. */
  readonly phase: 'start' | 'refused' | 'end';
  readonly mm: Mm;
  readonly range: MmuNotifierRange;
}

/** A read side begins, or asks whether it has to begin again. */
export interface NotifierReadEvent {
  readonly phase: 'begin' | 'retry';
  readonly sub: MmuIntervalNotifier;
  readonly seq: number;
  /** At `retry`: the answer. */
  readonly stale: boolean;
}

/** A subscription is being inserted by a call that may take the mmap lock (not by its `_locked` form). */
export interface NotifierInsertEvent {
  readonly mm: Mm;
}

/** A subscription is being removed; the caller may have to sleep. */
export interface NotifierRemoveEvent {
  readonly sub: MmuIntervalNotifier;
}

/** hmm_range_fault has succeeded. */
export interface RangeResultEvent {
  readonly sub: MmuIntervalNotifier;
  readonly seq: number;
  readonly startPage: number;
  readonly endPage: number;
  readonly pfns: HmmPfns;
}

/** A migration passes a phase. `pages` and `finalize` come before the phase does anything, the others after. */
export interface MigrateSlotsEvent {
  readonly phase: 'setup' | 'pages' | 'committed' | 'finalize' | 'finalized';
  /** Identity of the migration: its source array. */
  readonly src: MigratePfns;
  readonly dst: MigratePfns;
  readonly slots: number;
  /** Folio whose lock and reference belong to a CPU fault, -1 for none. */
  readonly faultFolio: Pfn;
  /** First virtual page; -1 for a migration by pfn. */
  readonly startPage: number;
  /** null for a migration by pfn. */
  readonly mm: Mm | null;
}

/** A CPU fault hands a device folio to its driver, and gets it back (dev_pagemap_ops.migrate_to_ram). */
export interface MigrateToRamEvent {
  readonly phase: 'begin' | 'end';
  readonly folio: Pfn;
}

/** A folio lock is taken by a caller who may sleep for it. */
export interface FolioLockEvent {
  readonly folio: Pfn;
}

export const NOTIFIER_CALLBACK_TRACE: TracepointDef<NotifierCallbackEvent> =
  defineLiveTracepoint('mmu_interval_callback');
export const NOTIFIER_RANGE_TRACE: TracepointDef<NotifierRangeEvent> =
  defineLiveTracepoint('mmu_notifier_range');
export const NOTIFIER_READ_TRACE: TracepointDef<NotifierReadEvent> =
  defineLiveTracepoint('mmu_interval_read');
export const NOTIFIER_INSERT_TRACE: TracepointDef<NotifierInsertEvent> =
  defineLiveTracepoint('mmu_interval_insert');
export const NOTIFIER_REMOVE_TRACE: TracepointDef<NotifierRemoveEvent> =
  defineLiveTracepoint('mmu_interval_remove');
export const RANGE_RESULT_TRACE: TracepointDef<RangeResultEvent> = defineLiveTracepoint('hmm_range_result');
export const MIGRATE_SLOTS_TRACE: TracepointDef<MigrateSlotsEvent> = defineLiveTracepoint('migrate_slots');
export const MIGRATE_TO_RAM_TRACE: TracepointDef<MigrateToRamEvent> = defineLiveTracepoint('migrate_to_ram');
export const FOLIO_LOCK_TRACE: TracepointDef<FolioLockEvent> = defineLiveTracepoint('folio_lock');

/** @internal the protocol's tracepoints of a machine, looked up once. */
export class ProtocolTracepoints {
  readonly callback: Tracepoint<NotifierCallbackEvent>;
  readonly range: Tracepoint<NotifierRangeEvent>;
  readonly read: Tracepoint<NotifierReadEvent>;
  readonly insert: Tracepoint<NotifierInsertEvent>;
  readonly remove: Tracepoint<NotifierRemoveEvent>;
  readonly rangeResult: Tracepoint<RangeResultEvent>;
  readonly migrateSlots: Tracepoint<MigrateSlotsEvent>;
  readonly migrateToRam: Tracepoint<MigrateToRamEvent>;
  readonly folioLock: Tracepoint<FolioLockEvent>;

  constructor({ trace }: Machine) {
    this.callback = trace.point(NOTIFIER_CALLBACK_TRACE);
    this.range = trace.point(NOTIFIER_RANGE_TRACE);
    this.read = trace.point(NOTIFIER_READ_TRACE);
    this.insert = trace.point(NOTIFIER_INSERT_TRACE);
    this.remove = trace.point(NOTIFIER_REMOVE_TRACE);
    this.rangeResult = trace.point(RANGE_RESULT_TRACE);
    this.migrateSlots = trace.point(MIGRATE_SLOTS_TRACE);
    this.migrateToRam = trace.point(MIGRATE_TO_RAM_TRACE);
    this.folioLock = trace.point(FOLIO_LOCK_TRACE);
  }
}
