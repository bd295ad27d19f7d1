import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RbNode, rbNext, rbPrev, RbTree } from '../src/rb-tree.ts';

class Counted extends RbNode {
  readonly key: number;
  nodes = 1;

  constructor(key: number) {
    super();
    this.key = key;
  }
}

const makeTree = (): RbTree<Counted> =>
  new RbTree<Counted>({
    less: (a, b) => a.key < b.key,
    update: (n) => {
      n.nodes = 1 + (n.left?.nodes ?? 0) + (n.right?.nodes ?? 0);
    },
  });

/** Checks colours, parents and the augmented value; returns the black height. */
function blackHeight(node: Counted | null, parent: Counted | null): number {
  if (node === null) return 1;
  expect(node.parent).toBe(parent);
  expect(node.red && (node.left?.red === true || node.right?.red === true)).toBe(false);
  expect(node.nodes).toBe(1 + (node.left?.nodes ?? 0) + (node.right?.nodes ?? 0));
  const left = blackHeight(node.left, node);
  expect(blackHeight(node.right, node)).toBe(left);
  return left + (node.red ? 0 : 1);
}

describe('RbTree', () => {
  it('stays balanced, ordered and augmented over any sequence of insertions and removals', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -60, max: 60 }), { maxLength: 250 }), (keys) => {
        const tree = makeTree();
        const live: Counted[] = [];
        const removed: Counted[] = [];
        for (const key of keys) {
          if (key < 0 && live.length > 0) {
            const [gone] = live.splice(-key % live.length, 1);
            tree.remove(gone!);
            removed.push(gone!);
          } else {
            const node = new Counted(Math.abs(key));
            tree.insert(node);
            live.push(node);
          }
          expect(tree.root?.red ?? false).toBe(false);
          blackHeight(tree.root, null);
        }
        expect(removed.every((n) => n.parent === null && n.left === null && n.right === null)).toBe(true);
        const upwards: Counted[] = [];
        for (let n = tree.first(); n !== null; n = rbNext(n)) upwards.push(n);
        const downwards: Counted[] = [];
        for (let n = tree.last(); n !== null; n = rbPrev(n)) downwards.push(n);
        expect(downwards.toReversed()).toEqual(upwards);
        expect(upwards.map((n) => n.key)).toEqual(live.map((n) => n.key).toSorted((a, b) => a - b));
        expect(tree.size).toBe(live.length);
      }),
      { seed: 11, numRuns: 150 },
    );
  });

  it('has no first or last node when it is empty', () => {
    const tree = makeTree();
    expect([tree.first(), tree.last(), tree.size]).toEqual([null, null, 0]);
  });

  it('keeps nodes that are equal in order of insertion', () => {
    const tree = makeTree();
    const same = Array.from({ length: 20 }, () => new Counted(3));
    for (const node of same) tree.insert(node);
    const found: Counted[] = [];
    for (let n = tree.first(); n !== null; n = rbNext(n)) found.push(n);
    expect(found.every((n, i) => n === same[i])).toBe(true);
  });
});
