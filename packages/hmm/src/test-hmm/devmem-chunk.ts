import type { Pfn } from '@gpusvm/kernel';
import type { DevPagemap } from '../dev-pagemap.ts';

/** A chunk of device memory (struct dmirror_chunk), handed out as single pages or as 2 MiB folios, never both. */
export class DevmemChunk {
  readonly pagemap: DevPagemap;
  readonly order: 0 | 9;
  readonly #tags: Float64Array;
  readonly #free: Pfn[] = [];
  #next: Pfn;

  constructor(pagemap: DevPagemap, order: 0 | 9) {
    this.pagemap = pagemap;
    this.order = order;
    this.#next = pagemap.basePfn;
    this.#tags = new Float64Array(pagemap.type === 'private' ? pagemap.pages : 0);
  }

  get hasFree(): boolean {
    return this.#free.length > 0 || this.#next < this.pagemap.basePfn + this.pagemap.pages;
  }

  /** A free block of the chunk's order. */
  take(): Pfn {
    const recycled = this.#free.pop();
    if (recycled !== undefined) return recycled;
    const pfn = this.#next;
    this.#next += 2 ** this.order;
    return pfn;
  }

  /** The last reference of a folio is gone. Parts of a split folio are usable again once all of them are back. */
  give(head: Pfn, order: number): void {
    if (order === this.order) {
      this.#free.push(head);
      return;
    }
    const block = head - (head & 511);
    const back = (this.#partial.get(block) ?? 0) + 1;
    this.#partial.set(block, back);
    if (back < 512) return;
    this.#partial.delete(block);
    this.#free.push(block);
  }

  /** Pages of split 2 MiB blocks that are back. */
  readonly #partial = new Map<Pfn, number>();

  load(pfn: Pfn): number {
    return this.#tags[pfn - this.pagemap.basePfn]!;
  }

  store(pfn: Pfn, tag: number): void {
    this.#tags[pfn - this.pagemap.basePfn] = tag;
  }
}
