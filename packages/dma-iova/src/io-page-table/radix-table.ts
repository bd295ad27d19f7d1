import type { FaultSite, Pfn } from '@gpusvm/kernel';
import { C_LVL_TOUCH, C_PTE_W, C_TBL_PINNED, C_TBL_PINNED_MAX, C_WALK } from '../dma-counters.ts';
import type { IotlbGather } from '../iotlb-gather.ts';
import { NO_PFN } from '../physical-memory.ts';
import type { IoPageTableFormat } from './format.ts';
import { LeafOrder } from './leaf-order.ts';
import {
  E_HIGH_SHIFT,
  E_RUN_MASK,
  E_RUN_SHIFT,
  E_RW,
  E_TABLE,
  ENTRIES,
  ROOT,
  TablePool,
} from './table-pool.ts';
import type { TableTrace } from './table-trace.ts';

// V8 folds a module's own constants into its machine code, not those that it imports: hot files keep copies.
const WALK = C_WALK;
const LVL_TOUCH = C_LVL_TOUCH;
const PTE_W = C_PTE_W;
const N = ENTRIES;
const TABLE = E_TABLE;
const RUN_MASK = E_RUN_MASK;
const HIGH_SHIFT = E_HIGH_SHIFT;

const TWO32 = 4294967296;
/** Distance from every page to this is more than a table. */
const NO_STREAK = -(2 ** 53);

/**
 * The radix tree that every IO page-table format shares: pooled tables, walked top down, of 512 entries for 4 KiB pages
 * and of more for Arm's larger granules. Everything counts in 4 KiB pages.
 *
 * This class has the single-page fast paths (4 KiB granule) and the walk; ranges are in `radix-map.ts`,
 * `radix-unmap.ts` and `radix-holes.ts`, growth of the top in `radix-grow.ts`. Cost: a walk is one load a level; a single
 * map or unmap with its table present is O(levels).
 */
export class RadixTable {
  readonly format: IoPageTableFormat;
  /** Levels now; below {@link maxLevels} as long as a growing top has not grown. */
  levels = 0;
  readonly maxLevels: number = 0;
  /** Entries of a table. */
  readonly entries: number = 0;
  /** log2 of the pages below an entry of each level, and the pages. */
  readonly shifts: readonly number[];
  readonly spans: readonly number[];
  /** Pages of the address space: with all levels, and with those that there are now. */
  readonly maxPages: number = 0;
  pages = 0;
  /** 4 KiB granule: the index of a level is a shift by a multiple of 9. */
  readonly small: boolean;
  readonly pool: TablePool;
  /** Values of counter group `dma`. */
  readonly counters: Float64Array;
  /** Pages that translate, but for what the streak has changed. */
  #mapped = 0;
  readonly leafOrder: LeafOrder;
  /** All leaves are single entries. */
  readonly simpleLeaves: boolean;
  /**
   * The streak: single pages that are mapped or cleared in one lowest table are found without a walk and counted in
   * one number. The table maps something as long as the streak lasts; its count in the pool is behind until
   * {@link endStreak}, with which every operation on a range begins.
   */
  #streakBase: number = NO_STREAK;
  #streakEntry = 0;
  #streakLive = 0;
  #liveBefore = 0;
  #streakUnmaps = 0;

  readonly #trace: TableTrace;

  constructor(
    format: IoPageTableFormat,
    levels: number,
    site: FaultSite,
    counters: Float64Array,
    trace: TableTrace,
  ) {
    if (levels < format.levels.min || levels > format.levels.max) {
      throw new RangeError(
        `${format.name} has ${format.levels.min} to ${format.levels.max} levels, got ${levels}`,
      );
    }
    this.format = format;
    this.maxLevels = levels;
    this.entries = 2 ** format.bitsPerLevel;
    this.shifts = Array.from({ length: 5 }, (_, level) => format.granuleOrder + level * format.bitsPerLevel);
    this.spans = this.shifts.map((shift) => 2 ** shift);
    this.small = format.granuleOrder === 0 && format.bitsPerLevel === 9;
    this.maxPages = this.#coveredBy(levels);
    this.setLevels(format.startLevels === 0 ? levels : Math.min(levels, format.startLevels));
    this.pool = new TablePool(site, this.entries);
    this.counters = counters;
    this.#trace = trace;
    this.leafOrder = new LeafOrder(format.leafOrders, this.shifts[levels - 1]! + format.bitsPerLevel);
    this.simpleLeaves = this.small && format.leafOrders.every((order) => order % 9 === 0);
  }

  /** 4 KiB pages that translate. */
  get mappedPages(): number {
    return this.#mapped + this.#streakLive - this.#liveBefore;
  }

  /** Note pages that were mapped (or unmapped, when negative) by a range operation. */
  addMapped(pages: number): void {
    this.#mapped += pages;
  }

  /** Begin a streak in the table of `page`; false when there is none, or it maps nothing (and with large granules). */
  beginStreak(page: number): boolean {
    this.endStreak();
    if (!this.small) return false;
    const t = this.leafTable(page);
    const live = this.pool.live[t]!;
    if (t === 0 || live === 0) return false;
    this.#streakBase = page - (page & 511);
    this.#streakEntry = t * N;
    this.#streakLive = live;
    this.#liveBefore = live;
    return true;
  }

  /** Make pool and counters current: a single page has cost one walk and one entry. */
  settleStreak(): void {
    const change = this.#streakLive - this.#liveBefore;
    const n = change + 2 * this.#streakUnmaps;
    if (n === 0) return;
    const c = this.counters;
    c[WALK]! += n;
    c[LVL_TOUCH]! += n * this.levels;
    c[PTE_W]! += n;
    this.#mapped += change;
    this.pool.live[this.#streakEntry >>> 9] = this.#streakLive;
    this.#liveBefore = this.#streakLive;
    this.#streakUnmaps = 0;
  }

  endStreak(): void {
    this.settleStreak();
    this.#streakBase = NO_STREAK;
  }

  /** @internal the top has grown, or begins lower than it may become. */
  setLevels(levels: number): void {
    this.levels = levels;
    this.pages = this.#coveredBy(levels);
  }

  #coveredBy(levels: number): number {
    return Math.min(this.spans[levels - 1]! * this.entries, 2 ** (this.format.inputBits - 12));
  }

  /** Index of the entry for `page` in a table of `level`. */
  index(page: number, level: number): number {
    if (!this.small) return Math.floor(page / this.spans[level]!) & (this.entries - 1);
    return level < 3 ? (page >>> (9 * level)) & 511 : (page / this.spans[level]!) & 511;
  }

  /** Id of the lowest-level table that holds the entry of `page`; 0 when there is none. */
  leafTable(page: number): number {
    if (page >= this.pages) return 0;
    if (!this.small) return this.#leafTableByLevel(page);
    const lo = this.pool.lo;
    const meta = this.pool.meta;
    let t: number = ROOT;
    let e = 0;
    if (this.levels > 4) {
      e = t * N + ((page / 68719476736) & 511);
      if ((meta[e]! & TABLE) === 0) return 0;
      t = lo[e]!;
    }
    if (this.levels > 3) {
      e = t * N + ((page / 134217728) & 511);
      if ((meta[e]! & TABLE) === 0) return 0;
      t = lo[e]!;
    }
    e = t * N + ((page >>> 18) & 511);
    if ((meta[e]! & TABLE) === 0) return 0;
    t = lo[e]!;
    e = t * N + ((page >>> 9) & 511);
    if ((meta[e]! & TABLE) === 0) return 0;
    return lo[e]!;
  }

  #leafTableByLevel(page: number): number {
    let t: number = ROOT;
    for (let level = this.levels - 1; level > 0; level--) {
      const e = t * this.entries + this.index(page, level);
      if ((this.pool.meta[e]! & TABLE) === 0) return 0;
      t = this.pool.lo[e]!;
    }
    return t;
  }

  /**
   * Queue an unlinked, zeroed table on a gather; see {@link TablePool.queue}.
   *
   * @param level - of the table, whose first entry translates `page`.
   */
  queueTable(table: number, level: number, page: number, gather: IotlbGather): void {
    const { unlink, domain } = this.#trace;
    if (unlink.enabled) unlink.emit(domain, table, page, this.spans[level]! * this.entries);
    this.pool.queue(table, gather);
  }

  /**
   * Write one 4K leaf below 16 TiB into an empty slot of the streak's table; false = take the range path. Without a
   * call, so that V8 inlines all of it.
   */
  mapOne(page: number, pfn: Pfn, flags: number): boolean {
    const i = page - this.#streakBase;
    if (!(i < 512 && i >= 0 && pfn < TWO32)) return false;
    const { lo, meta } = this.pool;
    const e = (this.#streakEntry + i) | 0;
    if (meta[e] !== 0) return false;
    lo[e] = pfn;
    meta[e] = flags;
    this.#streakLive++;
    return true;
  }

  /** Clear one 4K leaf of the streak's table that is not its last; false = take the range path. */
  unmapOne(page: number): boolean {
    const i = page - this.#streakBase;
    if (!(i < 512 && i >= 0 && this.#streakLive > 1)) return false;
    const { meta } = this.pool;
    const e = (this.#streakEntry + i) | 0;
    const m = meta[e]!;
    if (m === 0 || (m & RUN_MASK) !== 0) return false;
    meta[e] = 0;
    this.#streakLive--;
    this.#streakUnmaps++;
    return true;
  }

  /** The entry that decides about `page`: a leaf or an empty entry; its level is in {@link foundLevel}. */
  find(page: number): number {
    const { lo, meta } = this.pool;
    // Table 0 is no table: its entries stay empty. Beyond the top there is nothing.
    let t: number = page < this.pages ? ROOT : 0;
    for (let level = this.levels - 1; ; level--) {
      const e = t * this.entries + this.index(page, level);
      if ((meta[e]! & TABLE) === 0) {
        this.foundLevel = level;
        return e;
      }
      t = lo[e]!;
    }
  }

  /** Level of the last {@link find}. */
  foundLevel = 0;

  /** Physical page for `page`, {@link NO_PFN} when it does not translate. Touches no counter. */
  translate(page: number): Pfn {
    const e = this.find(page);
    if ((this.pool.meta[e]! & E_RW) === 0) return NO_PFN;
    const span = this.spans[this.foundLevel]!;
    return this.entryPfn(e) + (page - Math.floor(page / span) * span);
  }

  /** Page-frame number of a leaf entry. */
  entryPfn(e: number): Pfn {
    const high = this.pool.meta[e]! >>> HIGH_SHIFT;
    return high === 0 ? this.pool.lo[e]! : this.pool.lo[e]! + high * TWO32;
  }

  /** Read and write permission of `page`, 0 when it does not translate. */
  permission(page: number): number {
    return this.pool.meta[this.find(page)]! & E_RW;
  }

  /** Store a leaf of `2^runLog2` entries from entry `e` on; every entry holds its own pfn. */
  writeLeaf(e: number, level: number, pfn: Pfn, flags: number, runLog2: number): void {
    const { lo, meta } = this.pool;
    const bits = flags | (runLog2 << E_RUN_SHIFT);
    const step = this.spans[level]!;
    const n = 1 << runLog2;
    for (let i = 0, at = pfn; i < n; i++, at += step) {
      lo[e + i] = at;
      meta[e + i] = at < TWO32 ? bits : bits | (((at / TWO32) | 0) << HIGH_SHIFT);
    }
    this.#mapped += n * step;
  }

  /** Move the gauge of empty linked tables, and its maximum. */
  pin(change: number): void {
    this.counters[C_TBL_PINNED]! += change;
  }

  /** Note the gauge's maximum; called at the end of an operation, not for tables on their way to be filled. */
  notePinned(): void {
    const c = this.counters;
    if (c[C_TBL_PINNED]! > c[C_TBL_PINNED_MAX]!) c[C_TBL_PINNED_MAX] = c[C_TBL_PINNED]!;
  }
}
