const RED = 1;
const BLACK = 0;

/**
 * The links and colours of a red-black tree in pooled typed arrays, and what keeps it balanced. Node 0 is the empty
 * leaf: black, its own child. Which node goes where is the business of the subclass. O(log n) a repair, no recursion.
 */
export class RbLinks {
  left: Int32Array;
  right: Int32Array;
  parent: Int32Array;
  color: Uint8Array;
  /** Top node; 0 = empty. */
  root = 0;

  constructor(capacity: number) {
    this.left = new Int32Array(capacity);
    this.right = new Int32Array(capacity);
    this.parent = new Int32Array(capacity);
    this.color = new Uint8Array(capacity);
  }

  /** Whether a node is red. */
  isRed(node: number): boolean {
    return this.color[node] === RED;
  }

  /** Put `by` where `node` hangs. */
  replace(node: number, by: number): void {
    const parent = this.parent[node]!;
    if (parent === 0) this.root = by;
    else if (this.left[parent] === node) this.left[parent] = by;
    else this.right[parent] = by;
    this.parent[by] = parent;
  }

  /** Make a node red that hangs where it belongs, and repair what that breaks. */
  balanceAfterInsert(inserted: number): void {
    const parentOf = this.parent;
    const color = this.color;
    let node = inserted;
    color[node] = RED;
    while (color[parentOf[node]!] === RED) {
      const parent = parentOf[node]!;
      const grand = parentOf[parent]!;
      const parentIsLeft = this.left[grand] === parent;
      const uncle = parentIsLeft ? this.right[grand]! : this.left[grand]!;
      if (color[uncle] === RED) {
        color[parent] = BLACK;
        color[uncle] = BLACK;
        color[grand] = RED;
        node = grand;
        continue;
      }
      if (parentIsLeft) {
        if (this.right[parent] === node) {
          node = parent;
          this.#rotateLeft(node);
        }
        color[parentOf[node]!] = BLACK;
        color[grand] = RED;
        this.#rotateRight(grand);
      } else {
        if (this.left[parent] === node) {
          node = parent;
          this.#rotateRight(node);
        }
        color[parentOf[node]!] = BLACK;
        color[grand] = RED;
        this.#rotateLeft(grand);
      }
    }
    color[this.root] = BLACK;
  }

  /** Every path through `hole` lacks one black node; repair it. */
  balanceAfterErase(hole: number): void {
    const color = this.color;
    let node = hole;
    while (node !== this.root && color[node] === BLACK) {
      const parent = this.parent[node]!;
      if (this.left[parent] === node) node = this.#repairLeft(parent);
      else node = this.#repairRight(parent);
    }
    color[node] = BLACK;
  }

  /** The left child of `parent` lacks a black node. Returns where to go on. */
  #repairLeft(parent: number): number {
    const color = this.color;
    let sibling = this.right[parent]!;
    if (color[sibling] === RED) {
      color[sibling] = BLACK;
      color[parent] = RED;
      this.#rotateLeft(parent);
      sibling = this.right[parent]!;
    }
    if (color[this.left[sibling]!] === BLACK && color[this.right[sibling]!] === BLACK) {
      color[sibling] = RED;
      return parent;
    }
    if (color[this.right[sibling]!] === BLACK) {
      color[this.left[sibling]!] = BLACK;
      color[sibling] = RED;
      this.#rotateRight(sibling);
      sibling = this.right[parent]!;
    }
    color[sibling] = color[parent]!;
    color[parent] = BLACK;
    color[this.right[sibling]!] = BLACK;
    this.#rotateLeft(parent);
    return this.root;
  }

  /** Mirror image of {@link #repairLeft}. */
  #repairRight(parent: number): number {
    const color = this.color;
    let sibling = this.left[parent]!;
    if (color[sibling] === RED) {
      color[sibling] = BLACK;
      color[parent] = RED;
      this.#rotateRight(parent);
      sibling = this.left[parent]!;
    }
    if (color[this.left[sibling]!] === BLACK && color[this.right[sibling]!] === BLACK) {
      color[sibling] = RED;
      return parent;
    }
    if (color[this.left[sibling]!] === BLACK) {
      color[this.right[sibling]!] = BLACK;
      color[sibling] = RED;
      this.#rotateLeft(sibling);
      sibling = this.left[parent]!;
    }
    color[sibling] = color[parent]!;
    color[parent] = BLACK;
    color[this.left[sibling]!] = BLACK;
    this.#rotateRight(parent);
    return this.root;
  }

  #rotateLeft(node: number): void {
    const up = this.right[node]!;
    const inner = this.left[up]!;
    this.right[node] = inner;
    if (inner !== 0) this.parent[inner] = node;
    this.replace(node, up);
    this.left[up] = node;
    this.parent[node] = up;
  }

  #rotateRight(node: number): void {
    const up = this.left[node]!;
    const inner = this.right[up]!;
    this.left[node] = inner;
    if (inner !== 0) this.parent[inner] = node;
    this.replace(node, up);
    this.right[up] = node;
    this.parent[node] = up;
  }

  /** Make room for more nodes. */
  growLinks(capacity: number): void {
    this.left = grownInt(this.left, capacity);
    this.right = grownInt(this.right, capacity);
    this.parent = grownInt(this.parent, capacity);
    const color = new Uint8Array(capacity);
    color.set(this.color);
    this.color = color;
  }
}

/** A longer copy. */
export function grownInt(from: Int32Array, capacity: number): Int32Array {
  const to = new Int32Array(capacity);
  to.set(from);
  return to;
}
