import type { LiveItem, Pfn } from '@gpusvm/kernel';
import { FOLIO_SWAPCACHE } from './folio-flags.ts';
import type { FolioTable } from './folio-table.ts';
import { grown16 } from './grown-array.ts';

const NO_SLOT = -1;
const MAX_COUNT = 0xffff;

/**
 * Swap space and swap cache (mm/swapfile.c, mm/swap_state.c). A slot holds one page. It is in use while page-table
 * entries count it or while a folio is cached for it. A cached folio has one reference of the cache for each page.
 * 18 bytes a slot.
 */
export class Swap {
  readonly #folios: FolioTable;
  #counts: Uint16Array = new Uint16Array(0);
  #tags = new Float64Array(0);
  /** Pfn of the page cached for a slot, -1 for none. */
  #cache = new Float64Array(0);
  readonly #slotOf = new Map<Pfn, number>();
  #cursor = 0;
  /** Slots in use. */
  used = 0;

  constructor(folios: FolioTable) {
    this.#folios = folios;
  }

  /** Slots in all. */
  get capacity(): number {
    return this.#counts.length;
  }

  /** Add room for pages (swapon). */
  on(pages: number): void {
    if (!Number.isInteger(pages) || pages < 1) throw new RangeError(`swap space needs pages, got ${pages}`);
    const total = this.capacity + pages;
    const tags = new Float64Array(total);
    const cache = new Float64Array(total).fill(-1);
    tags.set(this.#tags);
    cache.set(this.#cache);
    this.#counts = grown16(this.#counts, total);
    this.#tags = tags;
    this.#cache = cache;
  }

  /** Slots for a folio, consecutive; the first, or -1 when there is no such run (folio_alloc_swap). */
  find(pages: number): number {
    const { capacity } = this;
    for (let tried = 0; tried < capacity; ) {
      if (this.#cursor + pages > capacity) {
        tried += capacity - this.#cursor;
        this.#cursor = 0;
        continue;
      }
      const taken = this.#firstUsed(this.#cursor, pages);
      if (taken < 0) return this.#cursor;
      tried += taken + 1 - this.#cursor;
      this.#cursor = taken + 1;
    }
    return NO_SLOT;
  }

  /** Entries that name the slot. */
  count(slot: number): number {
    return this.#counts[slot]!;
  }

  /** An entry names the slot (swap_duplicate). */
  duplicate(slot: number): void {
    const count = this.#counts[slot]!;
    if (count === MAX_COUNT) throw new RangeError(`swap slot ${slot} has too many references`);
    if (count === 0 && this.#cache[slot]! < 0) this.used++;
    this.#counts[slot] = count + 1;
  }

  /** An entry that named the slot is gone (free_swap_and_cache). May free the cached folio. */
  free(slot: number): void {
    const count = this.#counts[slot]!;
    if (count === 0) throw new Error(`swap slot ${slot} freed but not counted`);
    this.#counts[slot] = count - 1;
    if (count > 1) return;
    const pfn = this.#cache[slot]!;
    if (pfn < 0) {
      this.used--;
      return;
    }
    const head = this.#folios.head(pfn);
    if (this.#folios.mapcount(head) === 0) this.tryFreeCache(head);
  }

  /** The page cached for a slot, -1 for none (swap_cache_get_folio). */
  cached(slot: number): Pfn {
    return this.#cache[slot]!;
  }

  /** First slot of a cached folio. */
  slotOf(head: Pfn): number {
    return this.#slotOf.get(head) ?? NO_SLOT;
  }

  readTag(slot: number): number {
    return this.#tags[slot]!;
  }

  writeTag(slot: number, tag: number): void {
    this.#tags[slot] = tag;
  }

  /** Write the pages of a cached folio to its slots (swap_writeout). */
  write(head: Pfn): void {
    const slot = this.#slotOf.get(head)!;
    const pages = 2 ** this.#folios.order(head);
    for (let i = 0; i < pages; i++) this.#tags[slot + i] = this.#folios.readTag(head + i);
  }

  /** Put a folio into the swap cache at consecutive slots (swap_cache_add_folio). */
  addCache(head: Pfn, slot: number): void {
    const folios = this.#folios;
    const pages = 2 ** folios.order(head);
    for (let i = 0; i < pages; i++) {
      if (this.#counts[slot + i] === 0 && this.#cache[slot + i]! < 0) this.used++;
      this.#cache[slot + i] = head + i;
    }
    this.#slotOf.set(head, slot);
    folios.refs[head]! += pages;
    folios.flags[head]! |= FOLIO_SWAPCACHE;
  }

  /** Take a folio out of the swap cache; slots that no entry names become free. Puts the cache's references. */
  deleteCache(head: Pfn): void {
    const folios = this.#folios;
    const slot = this.#slotOf.get(head)!;
    const pages = 2 ** folios.order(head);
    for (let i = 0; i < pages; i++) {
      this.#cache[slot + i] = -1;
      if (this.#counts[slot + i] === 0) this.used--;
    }
    this.#slotOf.delete(head);
    folios.flags[head]! &= ~FOLIO_SWAPCACHE;
    folios.refs[head]! -= pages - 1;
    folios.put(head);
  }

  /**
   * Take a folio out of the swap cache if no entry names its slots (folio_free_swap). The caller holds the folio lock,
   * or nobody does.
   */
  freeCache(head: Pfn): boolean {
    const slot = this.#slotOf.get(head)!;
    const pages = 2 ** this.#folios.order(head);
    for (let i = 0; i < pages; i++) if (this.#counts[slot + i] !== 0) return false;
    this.deleteCache(head);
    return true;
  }

  /** As {@link freeCache} unless somebody holds the folio lock. */
  tryFreeCache(head: Pfn): boolean {
    return !this.#folios.isLocked(head) && this.freeCache(head);
  }

  /** A migration within RAM takes the cache entry along (folio_migrate_mapping). */
  moveCache(from: Pfn, to: Pfn): void {
    const slot = this.#slotOf.get(from)!;
    this.addCache(to, slot);
    this.#slotOf.delete(from);
    const pages = 2 ** this.#folios.order(from);
    this.#folios.flags[from]! &= ~FOLIO_SWAPCACHE;
    this.#folios.refs[from]! -= pages;
  }

  /** Ledger report. */
  live(): LiveItem {
    return { kind: 'swap slot', count: this.used, detail: `${this.#slotOf.size} folios in the swap cache` };
  }

  #firstUsed(from: number, pages: number): number {
    for (let slot = from; slot < from + pages; slot++) {
      if (this.#counts[slot] !== 0 || this.#cache[slot]! >= 0) return slot;
    }
    return -1;
  }
}
