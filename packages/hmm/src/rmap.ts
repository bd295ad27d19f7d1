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
 * see what is there. Two arrays hold the first place of every folio; only shared folios need the map.
 */
export class Rmap {
  readonly #mms: MmRegistry;
  /** @internal id of the first mm, 0 when none; indexed by head pfn. */
  mmIds: Uint16Array;
  /** @internal */
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
    } else if (known !== mmId || this.bases[head] !== base) {
      this.#addShared(head, order, mmId, base);
    }
  }

  /** Places that may map the folio, first the oldest. */
  places(head: Pfn): RmapPlace[] {
    const places: RmapPlace[] = [];
    const mm = this.#mms.get(this.mmIds[head]!);
    if (mm !== null) places.push({ mm, base: this.bases[head]! });
    for (const extra of this.#extra.get(head) ?? []) {
      const other = this.#mms.get(extra.mmId);
      if (other !== null) places.push({ mm: other, base: extra.base });
    }
    return places;
  }

  /** Whether more than one place is recorded; the hot paths handle the single mapper inline. */
  isShared(head: Pfn): boolean {
    return this.#shared !== 0 && this.#extra.has(head);
  }

  /** Whether any folio has more than one place. */
  get anyShared(): boolean {
    return this.#shared !== 0;
  }

  /** Hand every record of one folio to another, whose own are dropped (folio_migrate_mapping). */
  move(from: Pfn, to: Pfn): void {
    this.mmIds[to] = this.mmIds[from]!;
    this.bases[to] = this.bases[from]!;
    this.mmIds[from] = 0;
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
    if (extras.some((e) => e.mmId === mmId && e.base === base)) return;
    const first = this.#mms.get(this.mmIds[head]!);
    const live = extras.filter(
      (e) => this.#mms.get(e.mmId)?.pageTable.refersTo(e.base, head, order) === true,
    );
    if (first === null || !first.pageTable.refersTo(this.bases[head]!, head, order)) {
      this.mmIds[head] = mmId;
      this.bases[head] = base;
    } else {
      live.push({ mmId, base });
    }
    if (live.length > 0) this.#put(head, live);
    else this.#drop(head);
  }
}
