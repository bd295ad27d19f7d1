import { RbNode, rbNext, RbTree, type RbTreeOps } from './rb-tree.ts';

class Node<T> extends RbNode {
  readonly item: T;
  readonly start: number;
  readonly last: number;
  /** Largest `last` in this node's subtree. */
  maxLast: number;

  constructor(item: T, start: number, last: number) {
    super();
    this.item = item;
    this.start = start;
    this.last = last;
    this.maxLast = last;
  }
}

const OPS: RbTreeOps<Node<unknown>> = Object.freeze({
  less(a: Node<unknown>, b: Node<unknown>): boolean {
    return a.start < b.start || (a.start === b.start && a.last < b.last);
  },
  update(node: Node<unknown>): void {
    let max = node.last;
    if (node.left !== null && node.left.maxLast > max) max = node.left.maxLast;
    if (node.right !== null && node.right.maxLast > max) max = node.right.maxLast;
    node.maxLast = max;
  },
});

/**
 * Intervals that may overlap, searched by overlap (include/linux/interval_tree_generic.h).
 *
 * Both ends of an interval are inclusive, in whatever unit the owner uses (pages, bytes), exact below 2^53. Items
 * come in order of start, then last, then insertion. The ends of an item are read once, at {@link insert}.
 */
export class IntervalTree<T extends object> {
  readonly #tree: RbTree<Node<T>> = new RbTree<Node<T>>(OPS);
  readonly #nodes = new Map<T, Node<T>>();
  readonly #startOf: (item: T) => number;
  readonly #lastOf: (item: T) => number;

  /**
   * @param startOf - first unit of an item.
   * @param lastOf - last unit of an item, inclusive.
   */
  constructor(startOf: (item: T) => number, lastOf: (item: T) => number) {
    this.#startOf = startOf;
    this.#lastOf = lastOf;
  }

  /** Number of items. */
  get size(): number {
    return this.#nodes.size;
  }

  /** Whether the item is in the tree. O(1). */
  has(item: T): boolean {
    return this.#nodes.has(item);
  }

  /**
   * Add an item (interval_tree_insert). O(log n).
   *
   * @throws RangeError when the interval is empty or inverted; Error when the item is in the tree already.
   */
  insert(item: T): void {
    const start = this.#startOf(item);
    const last = this.#lastOf(item);
    if (!(start <= last))
      throw new RangeError(`interval [${start}, ${last}] is empty: both ends are inclusive`);
    if (this.#nodes.has(item)) throw new Error(`interval [${start}, ${last}] is in the tree already`);
    const node = new Node(item, start, last);
    this.#nodes.set(item, node);
    this.#tree.insert(node);
  }

  /**
   * Take an item out (interval_tree_remove). O(log n).
   *
   * @returns false when it was not in the tree.
   */
  remove(item: T): boolean {
    const node = this.#nodes.get(item);
    if (node === undefined) return false;
    this.#nodes.delete(item);
    this.#tree.remove(node);
    return true;
  }

  /** First item that overlaps `[start, last]` (interval_tree_iter_first). O(log n). */
  first(start: number, last: number): T | undefined {
    const root = this.#tree.root;
    if (root === null || root.maxLast < start) return undefined;
    return leftmostOverlap(root, start, last)?.item;
  }

  /**
   * Item after `item` that overlaps `[start, last]` (interval_tree_iter_next). O(log n).
   *
   * @throws RangeError when `item` is not in the tree.
   */
  next(item: T, start: number, last: number): T | undefined {
    const node = this.#nodes.get(item);
    if (node === undefined) throw new RangeError('next() of an item that is not in the interval tree');
    return nextOverlap(node, start, last)?.item;
  }

  /** Call `fn` for every item that overlaps `[start, last]`, in order. `fn` may remove the item it is given. */
  forEachOverlap(start: number, last: number, fn: (item: T) => void): void {
    const root = this.#tree.root;
    let node = root === null || root.maxLast < start ? null : leftmostOverlap(root, start, last);
    while (node !== null) {
      const following = nextOverlap(node, start, last);
      fn(node.item);
      node = following;
    }
  }

  /** Call `fn` for every item in order. `fn` may remove the item it is given. */
  forEach(fn: (item: T) => void): void {
    let node = this.#tree.first();
    while (node !== null) {
      const following = rbNext(node);
      fn(node.item);
      node = following;
    }
  }
}

/**
 * First overlap in the subtree of `top`, some item of which ends at or after `start`. One way down suffices: if
 * the left subtree reaches `start` and yet has no overlap, its reaching item starts after `last`, and so does
 * everything to its right.
 */
function leftmostOverlap<T>(top: Node<T>, start: number, last: number): Node<T> | null {
  let node: Node<T> = top;
  for (;;) {
    if (node.left !== null && node.left.maxLast >= start) {
      node = node.left;
      continue;
    }
    if (node.start > last) return null;
    if (node.last >= start) return node;
    if (node.right === null || node.right.maxLast < start) return null;
    node = node.right;
  }
}

function nextOverlap<T>(from: Node<T>, start: number, last: number): Node<T> | null {
  let node: Node<T> = from;
  for (;;) {
    if (node.right !== null && node.right.maxLast >= start) return leftmostOverlap(node.right, start, last);
    let child: Node<T>;
    do {
      child = node;
      if (child.parent === null) return null;
      node = child.parent;
    } while (node.right === child);
    if (node.start > last) return null;
    if (node.last >= start) return node;
  }
}
