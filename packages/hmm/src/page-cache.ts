import type { Pfn } from '@gpusvm/kernel';
import { FOLIO_CACHED, FOLIO_DIRTY, FOLIO_HEAD } from './folio-flags.ts';
import type { FolioTable } from './folio-table.ts';

/** Pages of one file or of one shared anonymous object (struct address_space). */
export class AddressSpace {
  readonly id: number;
  readonly key: string | null;
  /** Shared anonymous memory: fresh pages are zero. */
  readonly shmem: boolean;
  /** VMAs that map it. When the last goes the object is deleted, as an unlinked file is. */
  users = 0;
  /** Page by page offset. The cache holds one reference on every folio in it. */
  readonly pages: Map<number, Pfn> = new Map();

  constructor(id: number, key: string | null, shmem: boolean) {
    this.id = id;
    this.key = key;
    this.shmem = shmem;
  }

  /** Pages of the file that were written back, by offset. */
  readonly written: Map<number, number> = new Map();
  /** Swap slots of pages of shared anonymous memory, by offset; each counts its slot once. */
  readonly slots: Map<number, number> = new Map();

  /** Content tag of a page of the file as it is on disk; 0 for shared anonymous memory. */
  diskTag(offset: number): number {
    return this.written.get(offset) ?? this.#freshTag(offset);
  }

  #freshTag(offset: number): number {
    return this.shmem ? 0 : (this.id + 1) * 2 ** 32 + offset;
  }
}

/** The page caches of a machine (mm/filemap.c). */
export class PageCache {
  readonly #folios: FolioTable;
  readonly #byKey = new Map<string, AddressSpace>();
  #nextId = 0;

  constructor(folios: FolioTable) {
    this.#folios = folios;
  }

  /** The object with this key, or a new one. The caller counts itself in `users`. */
  open(key: string | null, shmem: boolean): AddressSpace {
    const known = key === null ? undefined : this.#byKey.get(key);
    if (known !== undefined) return known;
    const made = new AddressSpace(this.#nextId++, key, shmem);
    if (key !== null) this.#byKey.set(key, made);
    return made;
  }

  /** Drop a user; the last one deletes the object and the cache's references. */
  close(space: AddressSpace): void {
    if (--space.users > 0) return;
    if (space.key !== null) this.#byKey.delete(space.key);
    const folios = this.#folios;
    for (const pfn of space.pages.values()) {
      const head = folios.head(pfn);
      if ((folios.flags[head]! & FOLIO_CACHED) === 0) continue;
      folios.flags[head]! &= ~FOLIO_CACHED;
      folios.put(head);
    }
    space.pages.clear();
    for (const slot of space.slots.values()) folios.swap.free(slot);
    space.slots.clear();
  }

  /** The page at an offset, read in when it is missing (filemap_fault); -1 without memory. */
  fault(space: AddressSpace, offset: number): Pfn {
    const known = space.pages.get(offset);
    if (known !== undefined) return known;
    const pfn = this.#folios.allocFolio(0);
    if (pfn < 0) return pfn;
    this.#folios.flags[pfn] = FOLIO_HEAD | FOLIO_CACHED;
    const slot = space.slots.get(offset);
    const tag = slot === undefined ? space.diskTag(offset) : this.#folios.swap.readTag(slot);
    if (slot !== undefined) {
      space.slots.delete(offset);
      this.#folios.swap.free(slot);
      this.#folios.flags[pfn] |= FOLIO_DIRTY;
    }
    if (tag !== 0) this.#folios.memory.writeTag(pfn, tag);
    space.pages.set(offset, pfn);
    return pfn;
  }

  /**
   * Write an unmapped page to the file, or to swap if it is shared anonymous memory, and drop the cache's reference
   * (pageout and __remove_mapping). A clean page is just dropped, whatever it contains: who writes to memory without the
   * CPU has to say so (folio_mark_dirty).
   *
   * @returns false when there is no swap slot, and then nothing happens.
   */
  writeBackAndDrop(space: AddressSpace, offset: number, pfn: Pfn): boolean {
    const folios = this.#folios;
    if (space.pages.get(offset) !== pfn) return false;
    const tag = folios.readTag(pfn);
    const dirty = (folios.flags[folios.head(pfn)]! & FOLIO_DIRTY) !== 0;
    if (dirty && space.shmem) {
      const slot = folios.swap.find(1);
      if (slot < 0) return false;
      folios.swap.duplicate(slot);
      folios.swap.writeTag(slot, tag);
      space.slots.set(offset, slot);
    } else if (dirty) {
      space.written.set(offset, tag);
    }
    space.pages.delete(offset);
    folios.flags[pfn]! &= ~(FOLIO_CACHED | FOLIO_DIRTY);
    folios.put(pfn);
    return true;
  }

  /** Make a captured page part of the cache; false when the offset or the folio is taken. */
  adopt(space: AddressSpace, offset: number, pfn: Pfn): boolean {
    if (space.pages.has(offset)) return false;
    const head = this.#folios.head(pfn);
    if ((this.#folios.flags[head]! & FOLIO_CACHED) === 0) {
      this.#folios.flags[head]! |= FOLIO_CACHED;
      this.#folios.refs[head]!++;
    }
    space.pages.set(offset, pfn);
    return true;
  }
}
