import type { Pfn } from '@gpusvm/kernel';
import type { PhysicalMemory } from './physical-memory.ts';

/**
 * What memory itself holds where it may differ from what the CPU sees through its caches: the side that a device
 * without snooping works on.
 *
 * Pessimistic and deterministic: caches never write back or refill on their own. So what the CPU writes reaches the
 * device only at a clean (map, link, dma_sync_*_for_device), and what the device writes reaches the CPU only at an
 * invalidate (unmap, unlink, dma_sync_*_for_cpu), which also drops what the CPU wrote in between. A page that was
 * never cleaned reads 0, what a fresh page holds. Whole pages: one tag each.
 */
export class DramView {
  readonly #memory: PhysicalMemory;
  readonly #tags = new Map<Pfn, number>();
  /** What was cleaned without a barrier yet. */
  readonly #pending = new Map<Pfn, number>();
  /** Pages that the CPU reaches uncached (coherent allocations of such a device): both sides see the same. */
  readonly #uncached = new Set<Pfn>();

  constructor(memory: PhysicalMemory) {
    this.#memory = memory;
  }

  /** What a device without snooping reads. */
  read(pfn: Pfn): number {
    return this.#uncached.has(pfn) ? this.#memory.readTag(pfn) : (this.#tags.get(pfn) ?? 0);
  }

  /** Write of a device without snooping. */
  write(pfn: Pfn, tag: number): void {
    if (this.#uncached.has(pfn)) this.#memory.writeTag(pfn, tag);
    else this.#tags.set(pfn, tag);
  }

  /** Write the CPU's view of pages back to memory. Pages outside of the memory have no cache. */
  clean(pfn: Pfn, pages: number): void {
    this.cleanLater(pfn, pages);
    this.flush();
  }

  /** Begin to write the CPU's view of pages back; it is there for sure only after {@link flush}. */
  cleanLater(pfn: Pfn, pages: number): void {
    for (let page = pfn; page < pfn + pages; page++) {
      if (this.#isCached(page)) this.#pending.set(page, this.#memory.readTag(page));
    }
  }

  /** Wait for everything that was begun (arch_sync_dma_flush: a barrier, so of whatever device). */
  flush(): void {
    if (this.#pending.size === 0) return;
    for (const [page, tag] of this.#pending) this.#tags.set(page, tag);
    this.#pending.clear();
  }

  /** Make the CPU see what memory holds. */
  invalidate(pfn: Pfn, pages: number): void {
    for (let page = pfn; page < pfn + pages; page++) {
      if (!this.#isCached(page)) continue;
      // Maintenance of one address happens in program order, barrier or not.
      const begun = this.#pending.get(page);
      if (begun !== undefined) this.#tags.set(page, begun);
      this.#pending.delete(page);
      this.#memory.writeTag(page, this.#tags.get(page) ?? 0);
    }
  }

  /** Map a page uncached for the CPU (dma_common_contiguous_remap), or end that. */
  setUncached(pfn: Pfn, uncached: boolean): void {
    if (uncached) this.#uncached.add(pfn);
    else this.#uncached.delete(pfn);
    this.#tags.delete(pfn);
    this.#pending.delete(pfn);
  }

  #isCached(pfn: Pfn): boolean {
    return pfn >= 1 && pfn < this.#memory.totalPages && !this.#uncached.has(pfn);
  }
}
