import type { Pfn } from '@gpusvm/kernel';

/** What the device may do with a page of its table; `atomic` pages were made exclusive and may be read. */
export type MirrorAccess = 'read' | 'write' | 'atomic';

/** An entry of the table. */
export interface MirrorEntry {
  readonly page: number;
  readonly pfn: Pfn;
  readonly access: MirrorAccess;
}

/** The device's page table (struct dmirror.pt): virtual page to page frame. */
export class MirrorTable {
  readonly #entries = new Map<number, MirrorEntry>();

  get size(): number {
    return this.#entries.size;
  }

  get(page: number): MirrorEntry | undefined {
    return this.#entries.get(page);
  }

  set(page: number, pfn: Pfn, access: MirrorAccess): void {
    this.#entries.set(page, { page, pfn, access });
  }

  pfn(page: number): Pfn {
    return this.#entries.get(page)!.pfn;
  }

  /** Whether the device can access the page without a fault. */
  allows(page: number, write: boolean): boolean {
    const entry = this.#entries.get(page);
    return entry !== undefined && (!write || entry.access === 'write');
  }

  /** Whether a page of the range is exclusive. */
  hasAtomic(from: number, to: number): boolean {
    for (let page = from; page < to; page++) if (this.#entries.get(page)?.access === 'atomic') return true;
    return false;
  }

  /** Forget the pages of a range; everything without arguments. Cost: the smaller of range and table. */
  clear(from: number = 0, to: number = Number.POSITIVE_INFINITY): void {
    if (to - from <= this.#entries.size) {
      for (let page = from; page < to; page++) this.#entries.delete(page);
      return;
    }
    for (const page of this.#entries.keys()) if (page >= from && page < to) this.#entries.delete(page);
  }

  all(): Iterable<MirrorEntry> {
    return this.#entries.values();
  }
}
