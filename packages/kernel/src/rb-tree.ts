/**
 * An augmented red-black tree with intrusive nodes (include/linux/rbtree_augmented.h). Subclasses of
 * {@link RbNode} carry the key and, if wanted, a value computed from their subtree.
 */
export class RbNode {
  parent: this | null = null;
  left: this | null = null;
  right: this | null = null;
  red = false;
}

/** What a tree needs to know about its nodes. */
export interface RbTreeOps<N extends RbNode> {
  /** Strict order; nodes that are equal stay in order of insertion. */
  less(a: N, b: N): boolean;
  /** Recompute the augmented value of `node` from the node itself and its children. */
  update(node: N): void;
}

/** Ordered set of nodes; every operation costs O(log n), allocates nothing and does not recurse. */
export class RbTree<N extends RbNode> {
  /** Top node; search loops of augmented trees start here. */
  root: N | null = null;
  #size = 0;
  readonly #ops: RbTreeOps<N>;

  constructor(ops: RbTreeOps<N>) {
    this.#ops = ops;
  }

  /** Number of nodes. */
  get size(): number {
    return this.#size;
  }

  /** Node with the smallest key (rb_first). */
  first(): N | null {
    return this.root === null ? null : leftmost(this.root);
  }

  /** Node with the largest key (rb_last). */
  last(): N | null {
    let node = this.root;
    while (node !== null && node.right !== null) node = node.right;
    return node;
  }

  /** Insert a node that is in no tree (rb_add with augmentation). */
  insert(node: N): void {
    let parent: N | null = null;
    let at = this.root;
    let goLeft = false;
    while (at !== null) {
      parent = at;
      goLeft = this.#ops.less(node, at);
      at = goLeft ? at.left : at.right;
    }
    node.parent = parent;
    node.left = null;
    node.right = null;
    node.red = true;
    if (parent === null) this.root = node;
    else if (goLeft) parent.left = node;
    else parent.right = node;
    this.#size++;
    this.#updateUpwards(node);
    this.#balanceAfterInsert(node);
  }

  /** Remove a node that is in this tree (rb_erase_augmented); that it is, is not checked. */
  remove(node: N): void {
    let removedRed = node.red;
    let child: N | null;
    let childParent: N | null;
    if (node.left === null || node.right === null) {
      child = node.left ?? node.right;
      childParent = node.parent;
      this.#replace(node, child);
    } else {
      const successor = leftmost<N>(node.right);
      removedRed = successor.red;
      child = successor.right;
      childParent = successor;
      if (successor.parent !== node) {
        childParent = successor.parent;
        this.#replace(successor, child);
        successor.right = node.right;
        successor.right.parent = successor;
      }
      this.#replace(node, successor);
      successor.left = node.left;
      successor.left.parent = successor;
      successor.red = node.red;
    }
    this.#size--;
    if (childParent !== null) this.#updateUpwards(childParent);
    if (!removedRed) this.#balanceAfterRemove(child, childParent);
    node.parent = null;
    node.left = null;
    node.right = null;
  }

  #updateUpwards(from: N): void {
    for (let node: N | null = from; node !== null; node = node.parent) this.#ops.update(node);
  }

  /** Put `replacement` where `node` hangs. */
  #replace(node: N, replacement: N | null): void {
    const parent: N | null = node.parent;
    if (parent === null) this.root = replacement;
    else if (parent.left === node) parent.left = replacement;
    else parent.right = replacement;
    if (replacement !== null) replacement.parent = parent;
  }

  /** Move `top` down to the left and its right child up. */
  #rotateLeft(top: N): void {
    const up: N = top.right!;
    const middle: N | null = up.left;
    this.#replace(top, up);
    top.right = middle;
    if (middle !== null) middle.parent = top;
    up.left = top;
    top.parent = up;
    this.#ops.update(top);
    this.#ops.update(up);
  }

  /** Move `top` down to the right and its left child up. */
  #rotateRight(top: N): void {
    const up: N = top.left!;
    const middle: N | null = up.right;
    this.#replace(top, up);
    top.left = middle;
    if (middle !== null) middle.parent = top;
    up.right = top;
    top.parent = up;
    this.#ops.update(top);
    this.#ops.update(up);
  }

  #balanceAfterInsert(inserted: N): void {
    let node = inserted;
    for (let parent: N | null = node.parent; parent !== null && parent.red; parent = node.parent) {
      const grand: N = parent.parent!;
      const onLeft = parent === grand.left;
      const uncle: N | null = onLeft ? grand.right : grand.left;
      if (uncle !== null && uncle.red) {
        parent.red = false;
        uncle.red = false;
        grand.red = true;
        node = grand;
        continue;
      }
      if (onLeft) {
        if (node === parent.right) this.#rotateLeft(parent);
        grand.left!.red = false;
        grand.red = true;
        this.#rotateRight(grand);
      } else {
        if (node === parent.left) this.#rotateRight(parent);
        grand.right!.red = false;
        grand.red = true;
        this.#rotateLeft(grand);
      }
      break;
    }
    this.root!.red = false;
  }

  /** Every path through `short` lacks one black node; repair it. */
  #balanceAfterRemove(short: N | null, shortParent: N | null): void {
    let node = short;
    let parent = shortParent;
    while (parent !== null && (node === null || !node.red)) {
      const onLeft = node === parent.left;
      let sibling: N = onLeft ? parent.right! : parent.left!;
      if (sibling.red) {
        sibling.red = false;
        parent.red = true;
        if (onLeft) this.#rotateLeft(parent);
        else this.#rotateRight(parent);
        sibling = onLeft ? parent.right! : parent.left!;
      }
      if (!isRed(sibling.left) && !isRed(sibling.right)) {
        sibling.red = true;
        node = parent;
        parent = node.parent;
        continue;
      }
      if (onLeft) this.#borrowFromRight(parent, sibling);
      else this.#borrowFromLeft(parent, sibling);
      return;
    }
    if (node !== null) node.red = false;
  }

  #borrowFromRight(parent: N, sibling: N): void {
    if (!isRed(sibling.right)) {
      sibling.left!.red = false;
      sibling.red = true;
      this.#rotateRight(sibling);
    }
    const top: N = parent.right!;
    top.red = parent.red;
    parent.red = false;
    top.right!.red = false;
    this.#rotateLeft(parent);
  }

  #borrowFromLeft(parent: N, sibling: N): void {
    if (!isRed(sibling.left)) {
      sibling.right!.red = false;
      sibling.red = true;
      this.#rotateLeft(sibling);
    }
    const top: N = parent.left!;
    top.red = parent.red;
    parent.red = false;
    top.left!.red = false;
    this.#rotateRight(parent);
  }
}

/** Node after `node` in order, or null (rb_next). Amortised O(1) over a walk. */
export function rbNext<N extends RbNode>(node: N): N | null {
  if (node.right !== null) return leftmost<N>(node.right);
  let at: N = node;
  let parent: N | null = at.parent;
  while (parent !== null && parent.right === at) {
    at = parent;
    parent = at.parent;
  }
  return parent;
}

/** Node before `node` in order, or null (rb_prev). Amortised O(1) over a walk. */
export function rbPrev<N extends RbNode>(node: N): N | null {
  if (node.left !== null) {
    let at: N = node.left;
    while (at.right !== null) at = at.right;
    return at;
  }
  let at: N = node;
  let parent: N | null = at.parent;
  while (parent !== null && parent.left === at) {
    at = parent;
    parent = at.parent;
  }
  return parent;
}

function leftmost<N extends RbNode>(top: N): N {
  let node: N = top;
  while (node.left !== null) node = node.left;
  return node;
}

function isRed(node: RbNode | null): boolean {
  return node !== null && node.red;
}
