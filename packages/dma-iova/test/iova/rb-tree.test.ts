import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkRangeTree } from '../../src/iova/rb-check.ts';
import { RangeTree } from '../../src/iova/rb-tree.ts';

describe('the range tree', () => {
  it('stays ordered, threaded and balanced through random inserts and erases', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(400), { minLength: 1, maxLength: 300 }), (pages) => {
        const tree = new RangeTree(2);
        const nodes = new Map<number, number>();
        for (const page of pages) {
          const known = nodes.get(page);
          if (known !== undefined) {
            tree.erase(known);
            nodes.delete(page);
          } else {
            nodes.set(page, tree.insertBefore(tree.lowerBound(page * 2), page * 2, page * 2 + 1));
          }
          checkRangeTree(tree);
        }
        expect(tree.size).toBe(nodes.size);
        for (const [page, node] of nodes) {
          expect(tree.find(page * 2 + 1)).toBe(node);
        }
        expect(tree.find(-1)).toBe(0);
      }),
      { numRuns: 60, seed: 4 },
    );
  });
});
