const TWO32 = 4294967296;

/** Which leaf fits a position best (`pt_compute_best_pgsize` of generic_pt, `iommu_pgsize`). O(1). */
export class LeafOrder {
  /** By limit: the largest allowed order that is at most the index. */
  readonly #largest: Int8Array = new Int8Array(64);

  /**
   * @param orders - leaf sizes as log2 of pages, ascending.
   * @param below - orders from here on have no level.
   */
  constructor(orders: readonly number[], below: number) {
    let best = 0;
    for (let limit = 0; limit < 64; limit++) {
      if (orders.includes(limit) && limit < below) best = limit;
      this.#largest[limit] = best;
    }
  }

  /** Largest leaf order for a position: both sides aligned, not longer than what remains. */
  best(page: number, pfn: number, remaining: number): number {
    const a = trailingZeros(page);
    const b = trailingZeros(pfn);
    const c = remaining < TWO32 ? 31 - Math.clz32(remaining) : 63 - Math.clz32(remaining / TWO32);
    const limit = a < b ? a : b;
    return this.#largest[limit < c ? limit : c]!;
  }
}

/** Trailing zero bits of an integer below 2^53; 52 for 0. */
function trailingZeros(x: number): number {
  const low = x | 0;
  if (low !== 0) return 31 - Math.clz32(low & -low);
  const high = (x / TWO32) | 0;
  return high === 0 ? 52 : 63 - Math.clz32(high & -high);
}
