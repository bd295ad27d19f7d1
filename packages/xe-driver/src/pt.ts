import type { FaultSite, Machine } from '@gpusvm/kernel';
import { PTE_WRITES, PT_TABLES, type XeCounters } from './counters.ts';
import { PT_ENTRIES } from './pt-encoding.ts';

const WORDS_PER_TABLE = PT_ENTRIES * 2;
/** Result of {@link PtPool.alloc} when there is no memory. */
export const NO_TABLE: -1 = -1;

/**
 * All GPU page tables of a device (struct xe_pt, drivers/gpu/drm/xe/xe_pt.c), pooled in typed arrays. A table is
 * a small integer; an entry that points to a table holds that integer as its frame number.
 *
 * Beside what the hardware sees (`words`) a directory has the driver's own pointers to its children, because a
 * zap zeroes the hardware entry while the child table lives on until the range is unbound or bound again.
 */
export class PtPool {
  /** Hardware entries: entry `i` of table `t` is at `t * 1024 + i * 2` (low) and the next word (high). */
  words: Uint32Array = new Uint32Array(WORDS_PER_TABLE * 16);
  /** Bound entries of a table (num_live): not reduced by a zap. */
  live: Int32Array = new Int32Array(16);
  /** Level of a table. */
  level: Uint8Array = new Uint8Array(16);
  /** 1 for a table of 32 entries of 64K. */
  compact: Uint8Array = new Uint8Array(16);
  /** Changes whenever an entry above level 0 does, and when a table is freed. */
  directoryVersion = 0;
  /** Tables in use. */
  inUse = 0;
  readonly #children: (Int32Array | null)[] = [];
  readonly #free: number[] = [];
  readonly #site: FaultSite;
  readonly #counters: XeCounters;
  #next = 0;

  constructor(machine: Machine, counters: XeCounters) {
    this.#site = machine.faultInjection.site('xe.pt_create');
    this.#counters = counters;
    machine.ledger.register(() => [
      { kind: 'gpu page table', count: this.inUse, detail: `${this.inUse} tables of 4 KiB` },
    ]);
  }

  /**
   * A zeroed table (xe_pt_create). Asks fault site `xe.pt_create`. Cost: clears 4 KiB.
   *
   * @returns its number, or {@link NO_TABLE}.
   */
  alloc(level: number, compact: boolean): number {
    if (this.#site.shouldFail()) return NO_TABLE;
    const reused = this.#free.pop();
    const table = reused ?? this.#next++;
    if (table === this.level.length) this.#grow();
    if (reused !== undefined) this.words.fill(0, table * WORDS_PER_TABLE, (table + 1) * WORDS_PER_TABLE);
    this.level[table] = level;
    this.compact[table] = compact ? 1 : 0;
    this.live[table] = 0;
    if (level > 0) {
      const children = this.#children[table];
      if (children) children.fill(NO_TABLE);
      else this.#children[table] = new Int32Array(PT_ENTRIES).fill(NO_TABLE);
    }
    this.inUse++;
    this.#counters.values[PT_TABLES]!++;
    return table;
  }

  /** Free one table, not its children (xe_pt_destroy). */
  free(table: number): void {
    this.#free.push(table);
    this.inUse--;
    this.directoryVersion++;
  }

  /** Free a table and everything below it. */
  freeTree(table: number): void {
    if (this.level[table]! > 0) {
      const children = this.children(table);
      for (let i = 0; i < PT_ENTRIES; i++) if (children[i]! !== NO_TABLE) this.freeTree(children[i]!);
    }
    this.free(table);
  }

  /** The driver's child pointers of a directory, {@link NO_TABLE} where there is none. */
  children(table: number): Int32Array {
    return this.#children[table]!;
  }

  /** Write one hardware entry through the CPU mapping. */
  write(table: number, index: number, low: number, high: number): void {
    const at = table * WORDS_PER_TABLE + index * 2;
    this.words[at] = low;
    this.words[at + 1] = high;
    if (this.level[table]! > 0) this.directoryVersion++;
    this.#counters.values[PTE_WRITES]!++;
  }

  /** Word index of the first entry of a table. */
  base(table: number): number {
    return table * WORDS_PER_TABLE;
  }

  /** Count `n` entry writes done by bulk code. */
  countWrites(n: number): void {
    this.#counters.values[PTE_WRITES]! += n;
  }

  #grow(): void {
    const tables = this.level.length * 2;
    const grow = <T extends Uint32Array | Int32Array | Uint8Array>(old: T, made: T): T => {
      made.set(old);
      return made;
    };
    this.words = grow(this.words, new Uint32Array(tables * WORDS_PER_TABLE));
    this.live = grow(this.live, new Int32Array(tables));
    this.level = grow(this.level, new Uint8Array(tables));
    this.compact = grow(this.compact, new Uint8Array(tables));
  }
}
