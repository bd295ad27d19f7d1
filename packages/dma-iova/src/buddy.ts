import { BitTree } from './bit-tree.ts';

/** Largest order of the page allocator (MAX_PAGE_ORDER). */
export const MAX_PAGE_ORDER: 10 = 10;

/**
 * Buddy allocator over abstract units (mm/page_alloc.c in spirit): blocks of `2^order` units, naturally aligned,
 * split on demand and merged with their buddies when freed.
 *
 * Free blocks of an order are a {@link BitTree}, so the lowest free block is always taken first: placement is a
 * function of what is free, not of history. All operations are O(orders), memory is about 2 bits a unit.
 */
export class Buddy {
  readonly maxOrder: number;
  readonly #free: BitTree[] = [];
  #freeUnits = 0;

  /**
   * @param units - number of units, below 2^31; all of them start out as not free.
   * @param maxOrder - largest block order.
   */
  constructor(units: number, maxOrder: number = MAX_PAGE_ORDER) {
    this.maxOrder = maxOrder;
    for (let order = 0; order <= maxOrder; order++)
      this.#free.push(new BitTree(Math.ceil(units / 2 ** order)));
  }

  /** Units that are free. */
  get freeUnits(): number {
    return this.#freeUnits;
  }

  /** Make the units `[from, to)` free for the first time. */
  addRange(from: number, to: number): void {
    for (let at = from; at < to; ) {
      let order = 0;
      while (order < this.maxOrder && (at & ((2 << order) - 1)) === 0 && at + (2 << order) <= to) order++;
      this.free(at, order);
      at += 1 << order;
    }
  }

  /** Take the lowest free block of the smallest order that fits; -1 when there is none. */
  alloc(order: number): number {
    for (let from = order; from <= this.maxOrder; from++) {
      const block = this.#free[from]!.first();
      if (block < 0) continue;
      this.#free[from]!.delete(block);
      this.#split(block << from, from, block << from, order);
      return block << from;
    }
    return -1;
  }

  /** Take exactly this block; false when it is not wholly free. */
  claim(unit: number, order: number): boolean {
    for (let from = order; from <= this.maxOrder; from++) {
      const block = unit >>> from;
      if (!this.#free[from]!.has(block)) continue;
      this.#free[from]!.delete(block);
      this.#split(block << from, from, unit, order);
      return true;
    }
    return false;
  }

  /** Give a block back. The caller knows that it is taken. */
  free(unit: number, order: number): void {
    this.#freeUnits += 1 << order;
    let at = order;
    let block = unit >>> order;
    while (at < this.maxOrder && this.#free[at]!.has(block ^ 1)) {
      this.#free[at]!.delete(block ^ 1);
      block >>>= 1;
      at++;
    }
    this.#free[at]!.add(block);
  }

  /** Halve the block `base` of order `from` until `wanted` of order `order` is left; the rest is free. */
  #split(base: number, from: number, wanted: number, order: number): void {
    this.#freeUnits -= 1 << order;
    let at = base;
    for (let o = from - 1; o >= order; o--) {
      const upper = at + (1 << o);
      if (wanted >= upper) {
        this.#free[o]!.add(at >>> o);
        at = upper;
      } else {
        this.#free[o]!.add(upper >>> o);
      }
    }
  }
}
