import type { RangeTree } from './rb-tree.ts';

/** Throw when order, threads or balance of a tree are broken. For tests. */
export function checkRangeTree(tree: RangeTree): void {
  blackHeight(tree, tree.root);
  let count = 0;
  let before = 0;
  for (let node = tree.first; node !== 0; node = tree.next[node]!) {
    if (tree.prev[node] !== before) throw new Error(`node ${node} is wrongly threaded`);
    if (before !== 0 && tree.hi[before]! >= tree.lo[node]!)
      throw new Error(`ranges overlap at ${tree.lo[node]!}`);
    before = node;
    count++;
  }
  if (count !== tree.size) throw new Error(`${count} nodes threaded, ${tree.size} counted`);
}

/** Black nodes on every path down from a node, itself included. */
function blackHeight(tree: RangeTree, node: number): number {
  if (node === 0) return 1;
  const left = tree.left[node]!;
  const right = tree.right[node]!;
  if (tree.isRed(node) && (tree.isRed(left) || tree.isRed(right)))
    throw new Error(`red node ${node} has a red child`);
  const height = blackHeight(tree, left);
  if (height !== blackHeight(tree, right)) throw new Error(`black heights differ below node ${node}`);
  return height + (tree.isRed(node) ? 0 : 1);
}
