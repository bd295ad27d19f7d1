import type { Pfn } from '@gpusvm/kernel';
import { type RadixTable } from './io-page-table/radix-table.ts';
import { E_RW, ENTRIES } from './io-page-table/table-pool.ts';
import { NO_PFN } from './physical-memory.ts';

/** Regions of 2 MiB that the cache holds at a time. */
const SLOTS = 32;
/** A cached "not present", which hardware keeps in caching mode only. */
const NEGATIVE = 4;

/**
 * Translation caches of the IOMMU as observable state: a translation stays usable until it is invalidated, so a
 * missing invalidation lets a device reach memory that was unmapped.
 *
 * Direct mapped by 2 MiB region, 512 entries each, plus one page-walk cache entry a region that remembers its
 * lowest table. A region is dropped when another one needs its slot. A hit costs a few loads.
 */
export class Iotlb {
  readonly #table: RadixTable;
  readonly #cachingMode: boolean;
  readonly #tag: Float64Array = new Float64Array(SLOTS).fill(-1);
  readonly #pfn: Float64Array = new Float64Array(SLOTS * ENTRIES);
  readonly #meta: Uint8Array = new Uint8Array(SLOTS * ENTRIES);
  /** Page-walk cache: lowest table of the region, 0 = not cached. */
  readonly #walkCache: Int32Array = new Int32Array(SLOTS);

  constructor(table: RadixTable, cachingMode: boolean) {
    this.#table = table;
    this.#cachingMode = cachingMode;
  }

  /** Translate a device access; fills the cache. */
  translate(page: number, access: number): Pfn {
    const region = Math.floor(page / 512);
    const slot = region & (SLOTS - 1);
    const e = slot * ENTRIES + (page & 511);
    if (this.#tag[slot] === region && (this.#meta[e]! & access) !== 0) return this.#pfn[e]!;
    return this.#miss(page, access, region, slot, e);
  }

  /** Whether a translation of `page` is cached, stale or not. */
  isCached(page: number): boolean {
    const region = Math.floor(page / 512);
    const slot = region & (SLOTS - 1);
    return this.#tag[slot] === region && (this.#meta[slot * ENTRIES + (page & 511)]! & E_RW) !== 0;
  }

  /**
   * Forget the naturally aligned block of `2^order` pages.
   *
   * @param leafOnly - no table was freed: the page-walk cache stays (the IH hint of VT-d).
   */
  invalidate(page: number, order: number, leafOnly: boolean): void {
    if (order <= 9) {
      const region = Math.floor(page / 512);
      const slot = region & (SLOTS - 1);
      if (this.#tag[slot] !== region) return;
      const first = slot * ENTRIES + (page & 511);
      if (order === 0) this.#meta[first] = 0;
      else this.#meta.fill(0, first, first + (1 << order));
      if (!leafOnly) this.#walkCache[slot] = 0;
      return;
    }
    const first = Math.floor(page / 512);
    const end = first + 2 ** (order - 9);
    for (let slot = 0; slot < SLOTS; slot++) {
      const region = this.#tag[slot]!;
      if (region < first || region >= end) continue;
      this.#meta.fill(0, slot * ENTRIES, (slot + 1) * ENTRIES);
      if (!leafOnly) this.#walkCache[slot] = 0;
    }
  }

  /** Forget everything. */
  invalidateAll(): void {
    this.#tag.fill(-1);
    this.#meta.fill(0);
    this.#walkCache.fill(0);
  }

  #miss(page: number, access: number, region: number, slot: number, e: number): Pfn {
    if (this.#tag[slot] !== region) {
      this.#tag[slot] = region;
      this.#meta.fill(0, slot * ENTRIES, (slot + 1) * ENTRIES);
      this.#walkCache[slot] = 0;
    }
    // A cached entry decides even when it forbids: hardware does not walk again before an invalidation.
    if (this.#meta[e] !== 0) return NO_PFN;
    const pt = this.#table;
    let table = this.#walkCache[slot]!;
    if (table === 0) {
      table = pt.leafTable(page);
      this.#walkCache[slot] = table;
    }
    const { meta } = pt.pool;
    let pfn: Pfn = NO_PFN;
    let rights = 0;
    if (table !== 0) {
      const entry = table * pt.entries + pt.index(page, 0);
      rights = meta[entry]! & E_RW;
      if (rights !== 0) pfn = pt.entryPfn(entry) + (page & (pt.spans[0]! - 1));
    } else {
      pfn = pt.translate(page);
      rights = pfn === NO_PFN ? 0 : pt.permission(page);
    }
    if (rights === 0) {
      if (this.#cachingMode) this.#meta[e] = NEGATIVE;
      return NO_PFN;
    }
    this.#pfn[e] = pfn;
    this.#meta[e] = rights;
    return (rights & access) !== 0 ? pfn : NO_PFN;
  }
}
