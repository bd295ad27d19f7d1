const PAGES_32BIT = 2 ** 20;
const TOP = Number.MAX_SAFE_INTEGER;

/**
 * The search of drivers/iommu/iova.c on a sorted array, written from the specification's rules and independent of
 * the tree: cached nodes are remembered as the ranges themselves.
 */
export class NaiveIova {
  /** Sorted ascending; the last one is the anchor. */
  readonly ranges: { lo: number; hi: number }[] = [{ lo: TOP, hi: TOP }];
  #cached = this.ranges[0]!;
  #cached32 = this.ranges[0]!;
  #max32 = PAGES_32BIT;

  alloc(size: number, limit: number): number {
    const below32 = limit <= PAGES_32BIT;
    if (below32 && size >= this.#max32) return 0;
    let align = 1;
    while (align < size) align *= 2;
    const start = below32 ? this.#cached32 : this.#cached;
    const first = this.#search(this.ranges.indexOf(start), size, align, limit, 1);
    if (first !== 0) return first;
    if (start.hi < limit) {
      const above = this.ranges.findIndex((r) => r.lo >= limit);
      const second = this.#search(above, size, align, limit, start.hi + 1);
      if (second !== 0) return second;
    }
    this.#max32 = size;
    return 0;
  }

  free(page: number): void {
    const i = this.ranges.findIndex((r) => r.lo <= page && page <= r.hi);
    const gone = this.ranges[i];
    if (gone === undefined || gone.lo === TOP) return;
    const next = this.ranges[i + 1]!;
    if (gone === this.#cached32 || (gone.hi < PAGES_32BIT && gone.lo >= this.#cached32.lo))
      this.#cached32 = next;
    if (gone.lo < PAGES_32BIT) this.#max32 = PAGES_32BIT;
    if (gone.lo >= this.#cached.lo) this.#cached = next;
    this.ranges.splice(i, 1);
  }

  #search(from: number, size: number, align: number, limit: number, low: number): number {
    let high = limit;
    for (let i = from; i >= 0; i--) {
      high = Math.min(high, this.ranges[i]!.lo);
      const page = Math.floor((high - size) / align) * align;
      const below = this.ranges[i - 1];
      if (page < low) return 0;
      if (below !== undefined && page <= below.hi) continue;
      const made = { lo: page, hi: page + size - 1 };
      this.ranges.splice(i, 0, made);
      if (made.hi < PAGES_32BIT) this.#cached32 = made;
      else this.#cached = made;
      return page;
    }
    return 0;
  }
}
