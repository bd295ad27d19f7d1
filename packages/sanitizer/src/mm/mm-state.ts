import type {
  DeviceAccessEvent,
  DeviceMapEvent,
  DmaPfnEvent,
  FolioTable,
  MigratePfns,
  MigrateSlotsEvent,
  MmuIntervalNotifier,
  MmuNotifierRange,
} from '@gpusvm/hmm';
import type { Machine, Pfn, TaskHandle, Waitable } from '@gpusvm/kernel';
import type { MmRule } from './mm-rule.ts';

/** A migration between its setup and its finalize. */
export interface OpenMigration {
  readonly event: MigrateSlotsEvent;
  readonly task: string;
  /** Pages that migrate, by slot. */
  readonly sources: ReadonlyMap<number, Source>;
  phase: MigrateSlotsEvent['phase'];
}

/** A page that migrates. */
export interface Source {
  readonly pfn: Pfn;
  /** Content of a RAM page after setup; -1 for device memory. */
  readonly tag: number;
}

/** A callback that is running. */
export interface RunningCallback {
  readonly sub: MmuIntervalNotifier;
  readonly range: MmuNotifierRange;
  /** The task's count of sleeps when it began. */
  readonly sleeps: number;
  /** Locks that the task held when it began. */
  readonly held: readonly Waitable[];
  /** A lock was taken by a call that may sleep. */
  mightSleep: boolean;
}

/** A test of mmu_interval_read_retry that said "not stale", and the locks that were held. */
export interface FreshRead {
  readonly seq: number;
  readonly locks: readonly { readonly lock: Waitable; readonly stamp: number }[];
}

/** What a lookup said of a run of pages. */
export interface LookedUp {
  readonly startPage: number;
  /** Exclusive. */
  readonly endPage: number;
  readonly seq: number;
  readonly pfn: Float64Array;
  readonly flags: Uint16Array;
}

/** Device entries that were written before any callback had shown which lock it takes. */
export interface UnjudgedMap {
  readonly where: string;
  readonly locks: readonly Waitable[];
}

/** Contents of a page, being written or complete. */
export interface Copied {
  readonly phase: 'start' | 'done';
  /** Page frame that they come from; -1 where it is not known, or there is none. */
  readonly from: Pfn;
  /** They are zeroes. */
  readonly clears: boolean;
}

/** An invalidation that a callback passed over. */
export interface SkippedInvalidation {
  readonly locks: ReadonlySet<Waitable>;
}

/** Pages that a callback has invalidated. */
export interface InvalidatedPages {
  readonly startPage: number;
  /** Exclusive. */
  readonly endPage: number;
  readonly seq: number;
}

/** What is known about mm and its users, from what they said and did; rules compare it with the next event. */
export class MmState {
  readonly machine: Machine;
  readonly folios: FolioTable;
  /** Entries of device page tables: by device, by virtual page. */
  readonly entries: Map<string, Map<number, DeviceMapEvent>> = new Map();
  /** Subscriptions under which each device has mapped something. */
  readonly subs: Map<string, Set<MmuIntervalNotifier>> = new Map();
  /** Pages whose invalidation has returned, by subscription: the newest sequence of each interval. */
  readonly invalidated: Map<MmuIntervalNotifier, InvalidatedPages[]> = new Map();
  /** Accesses of devices under way. */
  readonly accesses: Map<object, DeviceAccessEvent> = new Map();
  /** Entries, mappings and locks that a rule has named: what becomes of them later has the same cause. */
  readonly told: WeakSet<object> = new WeakSet();
  /** Entries for destinations that were refused, once they were named. */
  readonly uncommitted: WeakSet<object> = new WeakSet();
  readonly migrations: Map<MigratePfns, OpenMigration> = new Map();
  /** Pages whose contents a device has begun or ended to write. */
  readonly copies: Map<Pfn, Copied> = new Map();
  /** Somebody says when contents are written, so that a page nobody wrote is a finding. */
  copiesAreTold = false;
  /** Folios of the CPU faults that each task is in. */
  readonly faults: Map<TaskHandle, Pfn[]> = new Map();
  readonly callbacks: Map<TaskHandle, RunningCallback[]> = new Map();
  /** Locks that callbacks of a subscription have taken. */
  readonly userLocks: Map<MmuIntervalNotifier, Set<Waitable>> = new Map();
  /** How often each lock that was ever taken was so for holding alone. */
  readonly stamps: Map<Waitable, number> = new Map();
  readonly fresh: Map<MmuIntervalNotifier, Map<TaskHandle, FreshRead>> = new Map();
  /** Newest results of lookups, by subscription. */
  readonly lookups: Map<MmuIntervalNotifier, LookedUp[]> = new Map();
  /** By subscription, and for each the locks held as text. */
  readonly unjudged: Map<MmuIntervalNotifier, Map<string, UnjudgedMap>> = new Map();
  /** Locks held by all who began to read, by subscription. */
  readonly readers: Map<MmuIntervalNotifier, Set<Waitable>> = new Map();
  readonly skipped: Map<MmuIntervalNotifier, SkippedInvalidation[]> = new Map();
  /** Ranges whose start was refused. */
  readonly refused: Set<MmuNotifierRange> = new Set();
  /** Pages mapped for DMA: by device, by virtual page. */
  readonly dma: Map<string, Map<number, DmaPfnEvent>> = new Map();
  readonly #report: (rule: MmRule, what: string) => void;

  constructor(machine: Machine, folios: FolioTable, report: (rule: MmRule, what: string) => void) {
    this.machine = machine;
    this.folios = folios;
    this.#report = report;
  }

  /** Say that a rule is broken. */
  report(rule: MmRule, what: string): void {
    this.#report(rule, what);
  }

  get task(): TaskHandle {
    return this.machine.currentTask();
  }

  /** What the newest lookup of a page under this sequence said; null when there was none. */
  lookedUp(sub: MmuIntervalNotifier, page: number, seq: number): { pfn: Pfn; flags: number } | null {
    for (const result of this.lookups.get(sub) ?? []) {
      const i = page - result.startPage;
      if (result.seq !== seq || i < 0 || page >= result.endPage) continue;
      return { pfn: result.pfn[i]!, flags: result.flags[i]! };
    }
    return null;
  }

  /** Device entries of `[startPage, endPage)` of one subscription. */
  *entriesIn(sub: MmuIntervalNotifier, startPage: number, endPage: number): Generator<DeviceMapEvent> {
    for (const entries of this.entries.values())
      for (const [page, entry] of entries)
        if (entry.sub === sub && page >= startPage && page < endPage) yield entry;
  }

  /** Sequence of the last invalidation of a page that has returned; -1 when there was none. */
  lastInvalidation(sub: MmuIntervalNotifier, page: number): number {
    let seq = -1;
    for (const pages of this.invalidated.get(sub) ?? [])
      if (page >= pages.startPage && page < pages.endPage) seq = Math.max(seq, pages.seq);
    return seq;
  }

  /** Entries of devices that map one of some page frames. Cost: one look at every entry. */
  *entriesOf(pfns: ReadonlySet<Pfn>): Generator<DeviceMapEvent> {
    if (pfns.size === 0) return;
    for (const entries of this.entries.values())
      for (const entry of entries.values()) if (pfns.has(entry.pfn)) yield entry;
  }

  /** Open migration that has the page frame as a source. */
  migrationFrom(pfn: Pfn): OpenMigration | null {
    for (const migration of this.migrations.values())
      for (const source of migration.sources.values()) if (source.pfn === pfn) return migration;
    return null;
  }

  /** Whether a task still holds a lock that it has not released since a stamp. */
  stillHeld(task: TaskHandle, lock: Waitable, stamp: number): boolean {
    return task.held.includes(lock) && this.stamps.get(lock) === stamp;
  }
}
