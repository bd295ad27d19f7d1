const RED = 1;
const BLACK = 0;

/**
 * Red-black tree of disjoint page ranges in pooled typed arrays, threaded: every node knows its neighbours, so
 * `rb_prev` and `rb_next` are one load. Node 0 is the empty leaf. Insert and erase are O(log n).
 */
export class RangeTree {
  lo: Float64Array;
  hi: Float64Array;
  prev: Int32Array;
  next: Int32Array;
  #left: Int32Array;
  #right: Int32Array;
  #parent: Int32Array;
  #color: Uint8Array;
  #root = 0;
  #free = 0;
  #untouched = 1;
  #size = 0;

  constructor(capacity = 64) {
    this.lo = new Float64Array(capacity);
    this.hi = new Float64Array(capacity);
    this.prev = new Int32Array(capacity);
    this.next = new Int32Array(capacity);
    this.#left = new Int32Array(capacity);
    this.#right = new Int32Array(capacity);
    this.#parent = new Int32Array(capacity);
    this.#color = new Uint8Array(capacity);
  }

  /** Nodes in the tree. */
  get size(): number {
    return this.#size;
  }

  /** The node with the lowest range; 0 when empty. */
  get first(): number {
    let node = this.#root;
    if (node === 0) return 0;
    while (this.#left[node] !== 0) node = this.#left[node]!;
    return node;
  }

  /** The node that contains `page`; 0 when there is none. */
  find(page: number): number {
    let node = this.#root;
    while (node !== 0) {
      if (page < this.lo[node]!) node = this.#left[node]!;
      else if (page > this.hi[node]!) node = this.#right[node]!;
      else return node;
    }
    return 0;
  }

  /** The lowest node that starts at or after `page`; 0 when there is none. */
  lowerBound(page: number): number {
    let node = this.#root;
    let best = 0;
    while (node !== 0) {
      if (this.lo[node]! >= page) {
        best = node;
        node = this.#left[node]!;
      } else {
        node = this.#right[node]!;
      }
    }
    return best;
  }

  /** Insert the range as the direct predecessor of `successor` (0 = as the last one). Returns the node. */
  insertBefore(successor: number, lo: number, hi: number): number {
    const node = this.#take();
    this.lo[node] = lo;
    this.hi[node] = hi;
    const left = this.#left;
    const right = this.#right;
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
      this.#parent[node] = successor;
    } else if (before !== 0) {
      right[before] = node;
      this.#parent[node] = before;
    } else {
      this.#root = node;
      this.#parent[node] = 0;
    }
    this.#color[node] = RED;
    this.#fixInsert(node);
    return node;
  }

  /** Take a node out; its id may be handed out again. */
  erase(node: number): void {
    const left = this.#left;
    const right = this.#right;
    const before = this.prev[node]!;
    const after = this.next[node]!;
    if (before !== 0) this.next[before] = after;
    if (after !== 0) this.prev[after] = before;
    let removed = this.#color[node]!;
    let hole: number;
    if (left[node] === 0) {
      hole = right[node]!;
      this.#transplant(node, hole);
    } else if (right[node] === 0) {
      hole = left[node]!;
      this.#transplant(node, hole);
    } else {
      // With both children the successor is the leftmost node on the right, which `next` names.
      removed = this.#color[after]!;
      hole = right[after]!;
      if (this.#parent[after] === node) {
        this.#parent[hole] = after;
      } else {
        this.#transplant(after, hole);
        const below = right[node]!;
        right[after] = below;
        this.#parent[below] = after;
      }
      this.#transplant(node, after);
      const below = left[node]!;
      left[after] = below;
      this.#parent[below] = after;
      this.#color[after] = this.#color[node]!;
    }
    if (removed === BLACK) this.#fixErase(hole);
    this.#parent[0] = 0;
    this.#color[0] = BLACK;
    this.next[node] = this.#free;
    this.#free = node;
    this.#size--;
  }

  /** Throw when order, threads or balance are broken. For tests. */
  check(): void {
    const blackHeight = (node: number): number => {
      if (node === 0) return 1;
      const l = this.#left[node]!;
      const r = this.#right[node]!;
      if (this.#color[node] === RED && (this.#color[l] === RED || this.#color[r] === RED)) {
        throw new Error(`red node ${node} has a red child`);
      }
      const height = blackHeight(l);
      if (height !== blackHeight(r)) throw new Error(`black heights differ below node ${node}`);
      return height + (this.#color[node] === BLACK ? 1 : 0);
    };
    blackHeight(this.#root);
    let count = 0;
    let before = 0;
    for (let node = this.first; node !== 0; node = this.next[node]!) {
      if (this.prev[node] !== before) throw new Error(`node ${node} is wrongly threaded`);
      if (before !== 0 && this.hi[before]! >= this.lo[node]!)
        throw new Error(`ranges overlap at ${this.lo[node]!}`);
      before = node;
      count++;
    }
    if (count !== this.#size) throw new Error(`${count} nodes threaded, ${this.#size} counted`);
  }

  #last(): number {
    let node = this.#root;
    if (node === 0) return 0;
    while (this.#right[node] !== 0) node = this.#right[node]!;
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
    this.prev = copyInt(this.prev, capacity);
    this.next = copyInt(this.next, capacity);
    this.#left = copyInt(this.#left, capacity);
    this.#right = copyInt(this.#right, capacity);
    this.#parent = copyInt(this.#parent, capacity);
    const color = new Uint8Array(capacity);
    color.set(this.#color);
    this.#color = color;
  }

  #transplant(node: number, by: number): void {
    const parent = this.#parent[node]!;
    if (parent === 0) this.#root = by;
    else if (this.#left[parent] === node) this.#left[parent] = by;
    else this.#right[parent] = by;
    this.#parent[by] = parent;
  }

  #rotateLeft(node: number): void {
    const up = this.#right[node]!;
    const inner = this.#left[up]!;
    this.#right[node] = inner;
    if (inner !== 0) this.#parent[inner] = node;
    this.#transplant(node, up);
    this.#left[up] = node;
    this.#parent[node] = up;
  }

  #rotateRight(node: number): void {
    const up = this.#left[node]!;
    const inner = this.#right[up]!;
    this.#left[node] = inner;
    if (inner !== 0) this.#parent[inner] = node;
    this.#transplant(node, up);
    this.#right[up] = node;
    this.#parent[node] = up;
  }

  #fixInsert(inserted: number): void {
    const parentOf = this.#parent;
    const color = this.#color;
    let node = inserted;
    while (color[parentOf[node]!] === RED) {
      const parent = parentOf[node]!;
      const grand = parentOf[parent]!;
      const parentIsLeft = this.#left[grand] === parent;
      const uncle = parentIsLeft ? this.#right[grand]! : this.#left[grand]!;
      if (color[uncle] === RED) {
        color[parent] = BLACK;
        color[uncle] = BLACK;
        color[grand] = RED;
        node = grand;
        continue;
      }
      if (parentIsLeft) {
        if (this.#right[parent] === node) {
          node = parent;
          this.#rotateLeft(node);
        }
        color[parentOf[node]!] = BLACK;
        color[grand] = RED;
        this.#rotateRight(grand);
      } else {
        if (this.#left[parent] === node) {
          node = parent;
          this.#rotateRight(node);
        }
        color[parentOf[node]!] = BLACK;
        color[grand] = RED;
        this.#rotateLeft(grand);
      }
    }
    color[this.#root] = BLACK;
  }

  #fixErase(hole: number): void {
    const color = this.#color;
    let node = hole;
    while (node !== this.#root && color[node] === BLACK) {
      const parent = this.#parent[node]!;
      if (this.#left[parent] === node) node = this.#fixEraseLeft(parent);
      else node = this.#fixEraseRight(parent);
    }
    color[node] = BLACK;
  }

  /** The left child of `parent` lacks a black node. Returns where to go on. */
  #fixEraseLeft(parent: number): number {
    const color = this.#color;
    let sibling = this.#right[parent]!;
    if (color[sibling] === RED) {
      color[sibling] = BLACK;
      color[parent] = RED;
      this.#rotateLeft(parent);
      sibling = this.#right[parent]!;
    }
    if (color[this.#left[sibling]!] === BLACK && color[this.#right[sibling]!] === BLACK) {
      color[sibling] = RED;
      return parent;
    }
    if (color[this.#right[sibling]!] === BLACK) {
      color[this.#left[sibling]!] = BLACK;
      color[sibling] = RED;
      this.#rotateRight(sibling);
      sibling = this.#right[parent]!;
    }
    color[sibling] = color[parent]!;
    color[parent] = BLACK;
    color[this.#right[sibling]!] = BLACK;
    this.#rotateLeft(parent);
    return this.#root;
  }

  /** Mirror image of {@link #fixEraseLeft}. */
  #fixEraseRight(parent: number): number {
    const color = this.#color;
    let sibling = this.#left[parent]!;
    if (color[sibling] === RED) {
      color[sibling] = BLACK;
      color[parent] = RED;
      this.#rotateRight(parent);
      sibling = this.#left[parent]!;
    }
    if (color[this.#left[sibling]!] === BLACK && color[this.#right[sibling]!] === BLACK) {
      color[sibling] = RED;
      return parent;
    }
    if (color[this.#left[sibling]!] === BLACK) {
      color[this.#right[sibling]!] = BLACK;
      color[sibling] = RED;
      this.#rotateLeft(sibling);
      sibling = this.#left[parent]!;
    }
    color[sibling] = color[parent]!;
    color[parent] = BLACK;
    color[this.#left[sibling]!] = BLACK;
    this.#rotateRight(parent);
    return this.#root;
  }
}

function copyInt(from: Int32Array, capacity: number): Int32Array {
  const to = new Int32Array(capacity);
  to.set(from);
  return to;
}

function copyDouble(from: Float64Array, capacity: number): Float64Array {
  const to = new Float64Array(capacity);
  to.set(from);
  return to;
}
