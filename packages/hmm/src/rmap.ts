import type { Pfn } from '@gpusvm/kernel';
import type { MmRegistry } from './mm-registry.ts';
import type { Mm } from './mm.ts';

/** One place that may map a folio: `base` is the virtual page at which the folio's head would be. */
export interface RmapPlace {
  readonly mm: Mm;
  readonly base: number;
}

interface Extra {
  readonly mmId: number;
  readonly base: number;
}

/**
 * Reverse mapping: from a folio to the page tables that may map it (mm/rmap.c, anon_vma and i_mmap in one).
 *
 * A record is a hint, as an anon_vma is: it stays when the mapping goes, and a walk looks at the page table to
 * see what is there. It names one address space and by it the whole family of forked ones, at one virtual address.
 * Two arrays hold the first record of every folio; only folios of unrelated processes, and pages that moved while
 * shared, need the map.
 */
export class Rmap {
  readonly #mms: MmRegistry;
  /** @internal id of the first mm, 0 when none; indexed by head pfn. */
  mmIds: Uint16Array;
  /** @internal first record's base; while a migration is open, where the records of a source went (mm id 0). */
  bases: Float64Array;
  readonly #extra = new Map<Pfn, Extra[]>();
  /** Size of `#extra`; a plain field, because hot loops ask for it. */
  #shared = 0;

  constructor(mms: MmRegistry, pages: number) {
    this.#mms = mms;
    this.mmIds = new Uint16Array(pages);
    this.bases = new Float64Array(pages);
  }

  /** Note that the address space maps the folio with its head at `base`. Cost: O(1) for a single mapper. */
  add(head: Pfn, order: number, mmId: number, base: number): void {
    const known = this.mmIds[head]!;
    if (known === 0) {
      this.mmIds[head] = mmId;
      this.bases[head] = base;
    } else if (this.bases[head] !== base || !this.#mms.related(known, mmId)) {
      this.#addShared(head, order, mmId, base);
    }
  }

  /**
   * A mapping moved to another virtual address (mremap).
   *
   * @param sole - nobody else maps the folio or migrates it, so that the record can be changed in place.
   */
  relocate(head: Pfn, order: number, mmId: number, base: number, sole: boolean): void {
    if (sole && !this.#extra.has(head)) {
      this.mmIds[head] = mmId;
      this.bases[head] = base;
      return;
    }
    // The records of a migration's source are with its destination already, which no entry names yet.
    if (this.mmIds[head] === 0) this.#append(this.bases[head]!, mmId, base);
    else this.add(head, order, mmId, base);
  }

  /** Places that may map the folio, first the oldest. */
  places(head: Pfn): RmapPlace[] {
    const places: RmapPlace[] = [];
    const base = this.bases[head]!;
    for (const mm of this.#mms.family(this.mmIds[head]!)) places.push({ mm, base });
    for (const extra of this.#extra.get(head) ?? []) {
      for (const mm of this.#mms.family(extra.mmId)) places.push({ mm, base: extra.base });
    }
    return places;
  }

  /** Whether more than one place is recorded; the hot paths handle the single mapper inline. */
  isShared(head: Pfn): boolean {
    if (this.#shared !== 0 && this.#extra.has(head)) return true;
    return this.#mms.sharedFamilies !== 0 && this.#mms.family(this.mmIds[head]!).length > 1;
  }

  /** Whether any folio has more than one place. */
  get anyShared(): boolean {
    return this.#shared !== 0 || this.#mms.sharedFamilies !== 0;
  }

  /** Which address-space ids are named by records, for the reuse of ids. Cost: O(pages of the machine). */
  usedIds(): Uint8Array {
    const used = new Uint8Array(0x10000);
    for (const id of this.mmIds) used[id] = 1;
    for (const extras of this.#extra.values()) for (const extra of extras) used[extra.mmId] = 1;
    return used;
  }

  /** Hand every record of one folio to another, whose own are dropped (folio_migrate_mapping). */
  move(from: Pfn, to: Pfn): void {
    this.mmIds[to] = this.mmIds[from]!;
    this.bases[to] = this.bases[from]!;
    this.mmIds[from] = 0;
    this.bases[from] = to;
    if (this.#shared === 0) return;
    this.#moveExtra(from, to);
  }

  /** Give each page of a folio that is being split the records of the folio, shifted to the page. */
  split(head: Pfn, pages: number): void {
    const mmId = this.mmIds[head]!;
    const base = this.bases[head]!;
    const extra = this.#extra.get(head);
    for (let i = 1; i < pages; i++) {
      this.mmIds[head + i] = mmId;
      this.bases[head + i] = base + i;
      if (extra !== undefined) {
        this.#put(
          head + i,
          extra.map((e) => ({ mmId: e.mmId, base: e.base + i })),
        );
      }
    }
  }

  /** Drop every record. */
  clear(head: Pfn): void {
    this.mmIds[head] = 0;
    if (this.#shared !== 0) this.#drop(head);
  }

  /** @internal */
  grow(pages: number): void {
    const mmIds = new Uint16Array(pages);
    const bases = new Float64Array(pages);
    mmIds.set(this.mmIds);
    bases.set(this.bases);
    this.mmIds = mmIds;
    this.bases = bases;
  }

  #put(head: Pfn, extras: Extra[]): void {
    this.#extra.set(head, extras);
    this.#shared = this.#extra.size;
  }

  #drop(head: Pfn): void {
    this.#extra.delete(head);
    this.#shared = this.#extra.size;
  }

  #moveExtra(from: Pfn, to: Pfn): void {
    const extra = this.#extra.get(from);
    this.#drop(from);
    if (extra === undefined) this.#drop(to);
    else this.#put(to, extra);
  }

  #addShared(head: Pfn, order: number, mmId: number, base: number): void {
    const extras = this.#extra.get(head) ?? [];
    if (extras.some((e) => e.base === base && this.#mms.related(e.mmId, mmId))) return;
    const live = extras.filter((e) => this.#refers(e.mmId, e.base, head, order));
    if (this.#refers(this.mmIds[head]!, this.bases[head]!, head, order)) {
      live.push({ mmId, base });
    } else {
      this.mmIds[head] = mmId;
      this.bases[head] = base;
    }
    if (live.length > 0) this.#put(head, live);
    else this.#drop(head);
  }

  #append(head: Pfn, mmId: number, base: number): void {
    if (this.bases[head] === base && this.#mms.related(this.mmIds[head]!, mmId)) return;
    const extras = this.#extra.get(head) ?? [];
    if (!extras.some((e) => e.base === base && this.#mms.related(e.mmId, mmId))) extras.push({ mmId, base });
    this.#put(head, extras);
  }

  #refers(mmId: number, base: number, head: Pfn, order: number): boolean {
    return this.#mms.family(mmId).some((mm) => mm.pageTable.refersTo(base, head, order));
  }
}
