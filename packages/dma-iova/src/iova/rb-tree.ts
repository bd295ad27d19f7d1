import { grownInt, RbLinks } from './rb-links.ts';

/**
 * Red-black tree of disjoint page ranges in pooled typed arrays, threaded: every node knows its neighbours, so
 * `rb_prev` and `rb_next` are one load. Node 0 is the empty leaf. Insert and erase are O(log n).
 */
export class RangeTree extends RbLinks {
  lo: Float64Array;
  hi: Float64Array;
  prev: Int32Array;
  next: Int32Array;
  #free = 0;
  #untouched = 1;
  #size = 0;

  constructor(capacity = 64) {
    super(capacity);
    this.lo = new Float64Array(capacity);
    this.hi = new Float64Array(capacity);
    this.prev = new Int32Array(capacity);
    this.next = new Int32Array(capacity);
  }

  /** Nodes in the tree. */
  get size(): number {
    return this.#size;
  }

  /** The node with the lowest range; 0 when empty. */
  get first(): number {
    let node = this.root;
    if (node === 0) return 0;
    while (this.left[node] !== 0) node = this.left[node]!;
    return node;
  }

  /** The node that contains `page`; 0 when there is none. */
  find(page: number): number {
    let node = this.root;
    while (node !== 0) {
      if (page < this.lo[node]!) node = this.left[node]!;
      else if (page > this.hi[node]!) node = this.right[node]!;
      else return node;
    }
    return 0;
  }

  /** The lowest node that starts at or after `page`; 0 when there is none. */
  lowerBound(page: number): number {
    let node = this.root;
    let best = 0;
    while (node !== 0) {
      if (this.lo[node]! >= page) {
        best = node;
        node = this.left[node]!;
      } else {
        node = this.right[node]!;
      }
    }
    return best;
  }

  /** Insert the range as the direct predecessor of `successor` (0 = as the last one). Returns the node. */
  insertBefore(successor: number, lo: number, hi: number): number {
    const node = this.#take();
    this.lo[node] = lo;
    this.hi[node] = hi;
    const left = this.left;
    const right = this.right;
    left[node] = 0;
    right[node] = 0;
    const before = successor === 0 ? this.#last() : this.prev[successor]!;
    this.prev[node] = before;
    this.next[node] = successor;
    if (before !== 0) this.next[before] = node;
    if (successor !== 0) this.prev[successor] = node;
    this.#size++;
    if (successor !== 0 && left[successor] === 0) {
      left[successor] = node;
      this.parent[node] = successor;
    } else if (before !== 0) {
      right[before] = node;
      this.parent[node] = before;
    } else {
      this.root = node;
      this.parent[node] = 0;
    }
    this.balanceAfterInsert(node);
    return node;
  }

  /** Take a node out; its id may be handed out again. */
  erase(node: number): void {
    const left = this.left;
    const right = this.right;
    const before = this.prev[node]!;
    const after = this.next[node]!;
    if (before !== 0) this.next[before] = after;
    if (after !== 0) this.prev[after] = before;
    let removedRed = this.isRed(node);
    let hole: number;
    if (left[node] === 0) {
      hole = right[node]!;
      this.replace(node, hole);
    } else if (right[node] === 0) {
      hole = left[node]!;
      this.replace(node, hole);
    } else {
      // With both children the successor is the leftmost node on the right, which `next` names.
      removedRed = this.isRed(after);
      hole = right[after]!;
      if (this.parent[after] === node) {
        this.parent[hole] = after;
      } else {
        this.replace(after, hole);
        const below = right[node]!;
        right[after] = below;
        this.parent[below] = after;
      }
      this.replace(node, after);
      const below = left[node]!;
      left[after] = below;
      this.parent[below] = after;
      this.color[after] = this.color[node]!;
    }
    if (!removedRed) this.balanceAfterErase(hole);
    this.parent[0] = 0;
    this.color[0] = 0;
    this.next[node] = this.#free;
    this.#free = node;
    this.#size--;
  }

  #last(): number {
    let node = this.root;
    if (node === 0) return 0;
    while (this.right[node] !== 0) node = this.right[node]!;
    return node;
  }

  #take(): number {
    const free = this.#free;
    if (free !== 0) {
      this.#free = this.next[free]!;
      return free;
    }
    if (this.#untouched === this.lo.length) this.#grow();
    return this.#untouched++;
  }

  #grow(): void {
    const capacity = this.lo.length * 2;
    this.lo = copyDouble(this.lo, capacity);
    this.hi = copyDouble(this.hi, capacity);
    this.prev = grownInt(this.prev, capacity);
    this.next = grownInt(this.next, capacity);
    this.growLinks(capacity);
  }
}

function copyDouble(from: Float64Array, capacity: number): Float64Array {
  const to = new Float64Array(capacity);
  to.set(from);
  return to;
}
