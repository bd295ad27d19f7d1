import type { PtPool } from './pt.ts';
import {
  entryFrame,
  hugeFrame,
  LEVEL_PAGES,
  PAGES_64K,
  PT_COMPACT_ENTRIES,
  PT_ENTRIES,
  XE_PAGE_PRESENT,
  XE_PAGE_RW,
  XE_PDE_64K,
  XE_PDPE_PS,
  XE_PTE_PS64,
} from './pt-encoding.ts';

/** Index of the entry of a table of this level that covers a page. */
export function levelIndex(page: number, level: number): number {
  return Math.floor(page / LEVEL_PAGES[level as 0]) & (PT_ENTRIES - 1);
}

/**
 * The walker of the GPU's memory unit: follows what the entries say, nothing else. Results of the last walk are
 * in fields, so that a walk allocates nothing. The level-0 table of the last walk is found again without a walk as
 * long as no directory changed anywhere (`PtPool.directoryVersion`), which is not a cache that can go stale.
 */
export class PtWalker {
  /** Frame (address / 4096) of the page asked for. */
  frame = 0;
  /** Low word of the leaf. */
  low = 0;
  /** Level of the leaf. */
  level = 0;
  /** First page that the leaf covers. */
  leafStart = 0;
  /** Pages that the leaf covers: 1, 16 (compact or PS64), 512, 2^18. */
  leafPages = 0;
  readonly #pool: PtPool;
  #lastRoot = -1;
  #lastRegion = -1;
  #lastVersion = -1;
  #lastTable = 0;

  constructor(pool: PtPool) {
    this.#pool = pool;
  }

  /** Translate a page. Cost: one load per level, one when the last page was in the same table. */
  walk(root: number, page: number): boolean {
    const region = Math.floor(page / PT_ENTRIES);
    const pool = this.#pool;
    if (
      region === this.#lastRegion &&
      root === this.#lastRoot &&
      this.#lastVersion === pool.directoryVersion
    ) {
      return this.#walkTable(this.#lastTable, page);
    }
    const words = pool.words;
    let table = root;
    for (let level = pool.level[root]!; level > 0; level--) {
      // The low 32 bits of the region number hold the indices of levels 1 to 3.
      const index = level < 4 ? (region >>> (9 * (level - 1))) & (PT_ENTRIES - 1) : levelIndex(page, level);
      const at = pool.base(table) + index * 2;
      const low = words[at]!;
      if ((low & XE_PAGE_PRESENT) === 0) return false;
      if ((low & XE_PDPE_PS) !== 0) {
        const span = LEVEL_PAGES[level as 1];
        return this.#leaf(hugeFrame(low, words[at + 1]!, level), low, level, page, span);
      }
      table = entryFrame(low, words[at + 1]!);
      if (level === 1 && (low & XE_PDE_64K) !== 0) return this.#walkCompact(table, page);
    }
    this.#lastRoot = root;
    this.#lastRegion = region;
    this.#lastVersion = pool.directoryVersion;
    this.#lastTable = table;
    return this.#walkTable(table, page);
  }

  /**
   * First page of `[startPage, endPage)` that does not translate, or that does not allow a write when `write` is
   * set; `endPage` when there is none. Cost: one load per level-0 entry.
   */
  firstMissing(root: number, startPage: number, endPage: number, write: boolean): number {
    const need = write ? XE_PAGE_PRESENT | XE_PAGE_RW : XE_PAGE_PRESENT;
    let page = startPage;
    while (page < endPage) {
      if (!this.walk(root, page) || (this.low & need) !== need) return page;
      page = this.leafStart + this.leafPages;
    }
    return endPage;
  }

  #walkTable(table: number, page: number): boolean {
    const words = this.#pool.words;
    const at = this.#pool.base(table) + (page & (PT_ENTRIES - 1)) * 2;
    const low = words[at]!;
    if ((low & XE_PAGE_PRESENT) === 0) return false;
    const frame = entryFrame(low, words[at + 1]!);
    if ((low & XE_PTE_PS64) !== 0) {
      // The hint lets the TLB cache the whole aligned 64K from one entry.
      return this.#leaf(frame - (page & (PAGES_64K - 1)), low, 0, page, PAGES_64K);
    }
    this.frame = frame;
    this.low = low;
    this.level = 0;
    this.leafStart = page;
    this.leafPages = 1;
    return true;
  }

  #walkCompact(table: number, page: number): boolean {
    const words = this.#pool.words;
    const at = this.#pool.base(table) + ((page & (PT_ENTRIES - 1)) >> 4) * 2;
    const low = words[at]!;
    if ((low & XE_PAGE_PRESENT) === 0) return false;
    return this.#leaf(entryFrame(low, words[at + 1]!), low, 0, page, PAGES_64K);
  }

  #leaf(frame: number, low: number, level: number, page: number, span: number): boolean {
    this.leafStart = Math.floor(page / span) * span;
    this.leafPages = span;
    this.level = level;
    this.low = low;
    this.frame = frame + (page - this.leafStart);
    return true;
  }
}

/**
 * Zero every entry that maps part of `[startPage, endPage)` (xe_pt_zap_ptes_range): leaves, or whole child
 * pointers that lie inside. Tables are not freed. Does not sleep; the caller holds the notifier lock for writing,
 * or for reading together with the VM lock for writing.
 *
 * @returns entries zeroed; when not 0 the TLB has to be flushed.
 */
export function ptZapRange(
  pool: PtPool,
  table: number,
  tableStart: number,
  startPage: number,
  endPage: number,
): number {
  const level = pool.level[table]!;
  const span = pool.compact[table] === 1 ? PAGES_64K : LEVEL_PAGES[level as 0];
  const words = pool.words;
  const base = pool.base(table);
  const entries = pool.compact[table] === 1 ? PT_COMPACT_ENTRIES : PT_ENTRIES;
  const first = Math.max(0, Math.floor((startPage - tableStart) / span));
  const last = Math.min(entries, Math.ceil((endPage - tableStart) / span));
  let zeroed = 0;
  for (let i = first; i < last; i++) {
    const low = words[base + i * 2]!;
    if ((low & XE_PAGE_PRESENT) === 0) continue;
    const entryStart = tableStart + i * span;
    const inside = entryStart >= startPage && entryStart + span <= endPage;
    if (level > 0 && !inside && (low & XE_PDPE_PS) === 0) {
      const child = entryFrame(low, words[base + i * 2 + 1]!);
      zeroed += ptZapRange(pool, child, entryStart, startPage, endPage);
      continue;
    }
    words[base + i * 2] = 0;
    words[base + i * 2 + 1] = 0;
    pool.countWrites(1);
    if (level > 0) pool.directoryVersion++;
    zeroed++;
  }
  return zeroed;
}
