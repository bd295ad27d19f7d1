/** What a GPU virtual memory area says about atomics (DRM_XE_ATOMIC_*). */
export type AtomicAttribute = 'undefined' | 'device' | 'global' | 'cpu';

/** A CPU-address-mirror area of a GPU address space (struct xe_vma), in pages, end exclusive. */
export interface GpuVma {
  readonly startPage: number;
  readonly endPage: number;
  /** Writes are refused with -EPERM and no entry gets the RW bit. */
  readonly readOnly: boolean;
  readonly atomic: AtomicAttribute;
}

/** The areas of one address space, ordered and disjoint. */
export class GpuVmaTree {
  readonly #areas: GpuVma[] = [];

  /** Every area in address order. */
  get all(): readonly GpuVma[] {
    return this.#areas;
  }

  /** The area that contains a page. Cost: logarithmic. */
  lookup(page: number): GpuVma | null {
    const area = this.#areas[this.#after(page) - 1];
    return area !== undefined && page < area.endPage ? area : null;
  }

  /** Whether some area has a page of `[startPage, endPage)`. */
  overlaps(startPage: number, endPage: number): boolean {
    const area = this.#areas[this.#after(endPage - 1) - 1];
    return area !== undefined && area.endPage > startPage;
  }

  /** Add an area that overlaps none. */
  insert(area: GpuVma): void {
    this.#areas.splice(this.#after(area.startPage), 0, area);
  }

  /** Remove an area. */
  remove(area: GpuVma): void {
    this.#areas.splice(this.#areas.indexOf(area), 1);
  }

  /** Remove every area. */
  clear(): void {
    this.#areas.length = 0;
  }

  /** Index of the first area that starts behind a page. */
  #after(page: number): number {
    let low = 0;
    let high = this.#areas.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#areas[middle]!.startPage <= page) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
