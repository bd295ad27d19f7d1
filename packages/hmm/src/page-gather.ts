import type { PhysicalMemory } from '@gpusvm/dma-iova';
import { alignmentOrder, ilog2, type Pfn } from '@gpusvm/kernel';

/** log2 of the most single pages that are taken from memory at once (pcp->batch is 63). */
const BATCH_ORDER = 5;

/**
 * Single pages in batches, for operations on runs: frees are collected into aligned blocks (struct mmu_gather), and
 * allocations are cut from a block of up to 32 pages (alloc_pages_bulk). Nothing stays here when the operation ends.
 */
export class PageGather {
  readonly #memory: PhysicalMemory;
  #depth = 0;
  #freeStart = 0;
  #freeEnd = 0;
  #next = 0;
  #end = 0;

  constructor(memory: PhysicalMemory) {
    this.#memory = memory;
  }

  /** Collect frees until {@link end}. The caller does not sleep in between. */
  begin(): void {
    this.#depth++;
  }

  /** Free what was collected. */
  end(): void {
    if (--this.#depth === 0) this.#flush();
  }

  /** Free a page of RAM, now or at {@link end}. */
  free(pfn: Pfn): void {
    if (this.#depth === 0) {
      this.#memory.freePagesBlock(pfn, 0);
    } else if (pfn === this.#freeEnd) {
      this.#freeEnd++;
    } else {
      this.#flush();
      this.#freeStart = pfn;
      this.#freeEnd = pfn + 1;
    }
  }

  /**
   * A page for an operation that wants `wanted` more; -1 without memory. Followed by {@link endAlloc} when the
   * operation stops early.
   */
  alloc(wanted: number): Pfn {
    if (this.#next === this.#end) {
      const order = Math.min(ilog2(wanted), BATCH_ORDER);
      let pfn = order === 0 ? -1 : this.#memory.allocPages(order);
      let pages = 1 << order;
      if (pfn < 0) {
        pages = 1;
        pfn = this.#memory.allocPages(0);
        if (pfn < 0) return pfn;
      }
      this.#next = pfn;
      this.#end = pfn + pages;
    }
    return this.#next++;
  }

  /** Give back what was taken and not handed out. */
  endAlloc(): void {
    for (; this.#next < this.#end; this.#next++) this.#memory.freePagesBlock(this.#next, 0);
  }

  #flush(): void {
    let pfn = this.#freeStart;
    while (pfn < this.#freeEnd) {
      const order = Math.min(alignmentOrder(pfn, 9), ilog2(this.#freeEnd - pfn));
      this.#memory.freePagesBlock(pfn, order);
      pfn += 1 << order;
    }
    this.#freeStart = 0;
    this.#freeEnd = 0;
  }
}
