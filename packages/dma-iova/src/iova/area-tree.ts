import { AREA_ORDER } from './area-pool.ts';

// V8 folds a module's own constants, not imported ones.
const ORDER = AREA_ORDER;

/**
 * Segment tree over areas of 4096 pages: every node knows the largest aligned free block below it, so the highest
 * fitting block is found in one descent, whatever the fragmentation.
 *
 * A node's value is the order (in pages) of that block plus one, 0 = nothing free. A node that is wholly free or
 * wholly taken says nothing about its children; they are set when something below it changes.
 */
export class AreaTree {
  readonly #depth: number;
  readonly #value: Uint8Array;
  /** Node and height at which the last {@link find} met a wholly free block: its children are to be set first. */
  #freeNode = 1;
  #freeHeight: number;

  /** @param depth - log2 of the number of areas; all are free at first. */
  constructor(depth: number) {
    this.#depth = depth;
    this.#freeHeight = depth;
    this.#value = new Uint8Array(2 ** (depth + 1));
    this.#value[1] = depth + ORDER + 1;
  }

  /**
   * First area of the highest aligned block of `2^order` pages inside the first `2^limitHeight` areas; for orders
   * below an area's, the highest area that has one. -1 when there is none.
   */
  find(order: number, limitHeight: number): number {
    if (limitHeight < 0) return -1;
    const value = this.#value;
    let at = 1;
    let h = this.#depth;
    while (h > limitHeight) {
      const v = value[at]!;
      if (v <= order) return -1;
      if (v === h + ORDER + 1) return this.#insideFree(at, h, order, limitHeight);
      at *= 2;
      h--;
    }
    if (value[at]! <= order) return -1;
    const target = order > ORDER ? order - ORDER : 0;
    while (h > target && value[at] !== h + ORDER + 1) {
      at = at * 2 + 1;
      if (value[at]! <= order) at--;
      h--;
    }
    return this.#insideFree(at, h, order, h);
  }

  /** Take the block of at least one area that {@link find} has just returned. */
  takeFound(area: number, order: number): void {
    this.#set(this.#open(this.#freeNode, this.#freeHeight, area, order - ORDER), order, 0);
  }

  /** Say what the largest free block is of the area that {@link find} has just returned. */
  setFound(area: number, value: number): void {
    this.#set(this.#open(this.#freeNode, this.#freeHeight, area, 0), ORDER, value);
  }

  /** Take a block of at least one area. False, and nothing changes, unless all of it is free. */
  claim(area: number, order: number): boolean {
    const node = this.#open(1, this.#depth, area, order - ORDER);
    if (this.#value[node] !== order + 1) return false;
    this.#set(node, order, 0);
    return true;
  }

  /** Give a taken block of at least one area back. */
  free(area: number, order: number): void {
    this.#set(this.#open(1, this.#depth, area, order - ORDER), order, order + 1);
  }

  /** Say what the largest free block of an area is: its order plus one, 0 = none. `was` = what was said before. */
  setArea(area: number, value: number, was: number): void {
    // Something free in the area means that no ancestor is wholly taken, and none was wholly free.
    const leaf = was > 0 ? (1 << this.#depth) + area : this.#open(1, this.#depth, area, 0);
    this.#set(leaf, ORDER, value);
  }

  /** Highest block inside the first `2^limit` areas of a node that is wholly free, or that is the block itself. */
  #insideFree(node: number, height: number, order: number, limit: number): number {
    this.#freeNode = node;
    this.#freeHeight = height;
    const size = order <= ORDER ? 1 : 1 << (order - ORDER);
    const first = (node << height) - (1 << this.#depth);
    return limit >= 0 && 1 << limit >= size ? first + (1 << limit) - size : -1;
  }

  /** Node of a block below `from`, after making the values of the nodes in between true. */
  #open(from: number, fromHeight: number, area: number, height: number): number {
    const value = this.#value;
    let node = from;
    for (let h = fromHeight; h > height; h--) {
      const v = value[node]!;
      if (v === 0) {
        value[node * 2] = 0;
        value[node * 2 + 1] = 0;
      } else if (v === h + ORDER + 1) {
        value[node * 2] = v - 1;
        value[node * 2 + 1] = v - 1;
      }
      node = node * 2 + ((area >>> (h - 1)) & 1);
    }
    return node;
  }

  /** Store a node's value and correct its ancestors, as far up as something changes. */
  #set(node: number, order: number, value: number): void {
    const values = this.#value;
    values[node] = value;
    let full = order + 1;
    for (let at = node >>> 1; at !== 0; at >>>= 1, full++) {
      const left = values[at * 2]!;
      const right = values[at * 2 + 1]!;
      const joined = left === full && right === full ? full + 1 : left > right ? left : right;
      if (values[at] === joined) return;
      values[at] = joined;
    }
  }
}
