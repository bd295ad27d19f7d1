import type { FaultSite, Pfn, Tracepoint } from '@gpusvm/kernel';
import { C_LVL_TOUCH, C_PTE_W, C_TBL_PINNED, C_TBL_PINNED_MAX, C_WALK } from '../dma-counters.ts';
import type { IotlbGather } from '../iotlb-gather.ts';
import { NO_PFN } from '../physical-memory.ts';
import type { IommuTableArgs, IommuTableEvent } from '../tracepoints.ts';
import type { IoPageTableFormat } from './format.ts';
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

const TWO32 = 4294967296;
/** Pages below an entry of each level. */
const SPAN: readonly number[] = [1, 2 ** 9, 2 ** 18, 2 ** 27, 2 ** 36];

/** Where a table tells that it was taken out of the tree. */
export interface TableTrace {
  readonly domain: string;
  readonly unlink: Tracepoint<IommuTableEvent, IommuTableArgs>;
}

/**
 * The radix tree that every IO page-table format shares: pooled tables of 512 entries, walked top down.
 *
 * This class has the single-page fast paths and the walk; ranges are in `radix-map.ts`, `radix-unmap.ts` and
 * `radix-holes.ts`. Cost: a walk is one load a level; a single map or unmap with its table present is O(levels).
 */
export class RadixTable {
  readonly format: IoPageTableFormat;
  readonly levels: number;
  readonly pool: TablePool;
  /** Values of counter group `dma`. */
  readonly counters: Float64Array;
  /** 4 KiB pages that translate. */
  mappedPages = 0;
  /** Leaf size by limit: the largest allowed order that is at most the index. */
  readonly #largestOrder: Int8Array = new Int8Array(64);
  readonly #simpleLeaves: boolean;
  /** Lowest table of the last walk and its first page: a streak of single pages walks once. */
  #streakBase = -1;
  #streakTable = 0;

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
    this.levels = levels;
    this.pool = new TablePool(site);
    this.counters = counters;
    this.#trace = trace;
    let best = 0;
    for (let limit = 0; limit < 64; limit++) {
      if (format.leafOrders.includes(limit) && limit < 9 * levels) best = limit;
      this.#largestOrder[limit] = best;
    }
    this.#simpleLeaves = format.leafOrders.every((order) => order % 9 === 0);
  }

  /** Whether all leaves are single entries. */
  get simpleLeaves(): boolean {
    return this.#simpleLeaves;
  }

  /** Pages of the address space. */
  get pages(): number {
    return SPAN[this.levels - 1]! * ENTRIES;
  }

  /** Index of the entry for `page` in a table of `level`. */
  index(page: number, level: number): number {
    return level < 3 ? (page >>> (9 * level)) & 511 : (page / SPAN[level]!) & 511;
  }

  /** Largest leaf order for a position: both sides aligned, not longer than what remains. */
  bestOrder(page: number, pfn: number, remaining: number): number {
    const a = trailingZeros(page);
    const b = trailingZeros(pfn);
    const c = remaining < TWO32 ? 31 - Math.clz32(remaining) : 63 - Math.clz32(remaining / TWO32);
    const limit = a < b ? a : b;
    return this.#largestOrder[limit < c ? limit : c]!;
  }

  /** Id of the lowest-level table that holds the entry of `page`; 0 when there is none. */
  leafTable(page: number): number {
    return page - (page & 511) === this.#streakBase ? this.#streakTable : this.#walk(page);
  }

  #walk(page: number): number {
    const lo = this.pool.lo;
    const meta = this.pool.meta;
    let t: number = ROOT;
    let e = 0;
    if (this.levels > 4) {
      e = t * ENTRIES + ((page / 68719476736) & 511);
      if ((meta[e]! & E_TABLE) === 0) return 0;
      t = lo[e]!;
    }
    if (this.levels > 3) {
      e = t * ENTRIES + ((page / 134217728) & 511);
      if ((meta[e]! & E_TABLE) === 0) return 0;
      t = lo[e]!;
    }
    e = t * ENTRIES + ((page >>> 18) & 511);
    if ((meta[e]! & E_TABLE) === 0) return 0;
    t = lo[e]!;
    e = t * ENTRIES + ((page >>> 9) & 511);
    if ((meta[e]! & E_TABLE) === 0) return 0;
    t = lo[e]!;
    this.#streakBase = page - (page & 511);
    this.#streakTable = t;
    return t;
  }

  /**
   * Queue an unlinked, zeroed table on a gather; see {@link TablePool.queue}.
   *
   * @param level - of the table, whose first entry translates `page`.
   */
  queueTable(table: number, level: number, page: number, gather: IotlbGather): void {
    const { unlink, domain } = this.#trace;
    if (unlink.enabled) unlink.emit(domain, table, page, SPAN[level]! * ENTRIES);
    this.#streakBase = -1;
    this.pool.queue(table, gather);
  }

  /** Write one 4K leaf when its table is there and the slot is empty; false = take the range path. */
  mapOne(page: number, pfn: Pfn, flags: number): boolean {
    const t = this.leafTable(page);
    if (t === 0) return false;
    const pool = this.pool;
    const e = t * ENTRIES + (page & 511);
    if (pool.meta[e] !== 0 || pool.live[t] === 0) return false;
    pool.lo[e] = pfn;
    pool.meta[e] = pfn < TWO32 ? flags : flags | (((pfn / TWO32) | 0) << E_HIGH_SHIFT);
    pool.live[t]!++;
    this.mappedPages++;
    this.#countOne();
    return true;
  }

  /** Clear one 4K leaf that is not its table's last; false = take the range path. */
  unmapOne(page: number): boolean {
    const t = this.leafTable(page);
    if (t === 0) return false;
    const pool = this.pool;
    const e = t * ENTRIES + (page & 511);
    const m = pool.meta[e]!;
    if (m === 0 || (m & E_RUN_MASK) !== 0 || pool.live[t]! < 2) return false;
    pool.meta[e] = 0;
    pool.live[t]!--;
    this.mappedPages--;
    this.#countOne();
    return true;
  }

  #countOne(): void {
    const c = this.counters;
    c[C_WALK]!++;
    c[C_LVL_TOUCH]! += this.levels;
    c[C_PTE_W]!++;
  }

  /** The entry that decides about `page`: a leaf or an empty entry; its level is in {@link foundLevel}. */
  find(page: number): number {
    const { lo, meta } = this.pool;
    let t: number = ROOT;
    for (let level = this.levels - 1; ; level--) {
      const e = t * ENTRIES + this.index(page, level);
      if ((meta[e]! & E_TABLE) === 0) {
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
    return this.entryPfn(e) + (page - Math.floor(page / SPAN[this.foundLevel]!) * SPAN[this.foundLevel]!);
  }

  /** Page-frame number of a leaf entry. */
  entryPfn(e: number): Pfn {
    const high = this.pool.meta[e]! >>> E_HIGH_SHIFT;
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
    const step = SPAN[level]!;
    const n = 1 << runLog2;
    for (let i = 0, at = pfn; i < n; i++, at += step) {
      lo[e + i] = at;
      meta[e + i] = at < TWO32 ? bits : bits | (((at / TWO32) | 0) << E_HIGH_SHIFT);
    }
    this.mappedPages += n * step;
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

  /** Tables linked below the root, counted by walking: what accounting must agree with. */
  reachableTables(table: number = ROOT, level: number = this.levels - 1): number {
    if (level === 0) return 0;
    let count = 0;
    for (let e = table * ENTRIES; e < (table + 1) * ENTRIES; e++) {
      if ((this.pool.meta[e]! & E_TABLE) !== 0) count += 1 + this.reachableTables(this.pool.lo[e], level - 1);
    }
    return count;
  }

  /** Visit every leaf in `[first, end)` in address order; a leaf that overlaps an edge is visited whole. */
  forEachLeaf(
    fn: (page: number, pfn: Pfn, pages: number) => void,
    first = 0,
    end: number = this.pages,
  ): void {
    this.#visit(ROOT, this.levels - 1, 0, first, end, fn);
  }

  #visit(
    table: number,
    level: number,
    base: number,
    first: number,
    end: number,
    fn: (page: number, pfn: Pfn, pages: number) => void,
  ): void {
    const span = SPAN[level]!;
    const from = Math.max(0, Math.floor((first - base) / span));
    for (let i = from; i < ENTRIES && base + i * span < end; ) {
      const e = table * ENTRIES + i;
      const m = this.pool.meta[e]!;
      const run = 1 << ((m & E_RUN_MASK) >>> E_RUN_SHIFT);
      if ((m & E_TABLE) !== 0) this.#visit(this.pool.lo[e]!, level - 1, base + i * span, first, end, fn);
      else if (m !== 0) {
        const start = i - (i & (run - 1));
        fn(base + start * span, this.entryPfn(table * ENTRIES + start), run * span);
        i = start + run;
        continue;
      }
      i++;
    }
  }
}

/** Trailing zero bits of an integer below 2^53; 52 for 0. */
function trailingZeros(x: number): number {
  const low = x | 0;
  if (low !== 0) return 31 - Math.clz32(low & -low);
  const high = (x / TWO32) | 0;
  return high === 0 ? 52 : 63 - Math.clz32(high & -high);
}

/** Pages below an entry of `level`. */
export function spanPages(level: number): number {
  return SPAN[level]!;
}
