import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IntervalTree } from '../src/interval-tree.ts';

interface Item {
  readonly start: number;
  readonly last: number;
  readonly order: number;
}

const tree = (): IntervalTree<Item> =>
  new IntervalTree<Item>(
    (i) => i.start,
    (i) => i.last,
  );

const items = (t: IntervalTree<Item>): Item[] => {
  const out: Item[] = [];
  t.forEach((item) => out.push(item));
  return out;
};

/** The reference: a sorted array searched from its beginning. */
class NaiveIntervals {
  readonly items: Item[] = [];

  insert(item: Item): void {
    this.items.push(item);
    this.items.sort((a, b) => a.start - b.start || a.last - b.last || a.order - b.order);
  }

  overlaps(start: number, last: number): Item[] {
    return this.items.filter((i) => i.start <= last && i.last >= start);
  }
}

describe('IntervalTree', () => {
  it('finds nothing in an empty tree', () => {
    const t = tree();
    expect(t.first(0, 2 ** 52)).toBeUndefined();
    expect(t.size).toBe(0);
    expect(items(t)).toEqual([]);
  });

  it('treats both ends as inclusive', () => {
    const t = tree();
    const a = { start: 10, last: 19, order: 0 };
    t.insert(a);
    expect(t.first(0, 9)).toBeUndefined();
    expect(t.first(0, 10)).toBe(a);
    expect(t.first(19, 30)).toBe(a);
    expect(t.first(20, 30)).toBeUndefined();
  });

  it('keeps ends exact far above 32 bits', () => {
    const t = tree();
    const low = { start: 2 ** 52, last: 2 ** 52 + 1, order: 0 };
    const high = { start: 2 ** 52 + 2, last: 2 ** 52 + 2, order: 1 };
    t.insert(high);
    t.insert(low);
    expect(t.first(2 ** 52 + 1, 2 ** 52 + 1)).toBe(low);
    expect(t.first(2 ** 52 + 2, 2 ** 52 + 2)).toBe(high);
    expect(t.next(low, 0, 2 ** 53 - 1)).toBe(high);
  });

  it('orders equal intervals by insertion', () => {
    const t = tree();
    const same = [0, 1, 2, 3, 4].map((order) => ({ start: 5, last: 6, order }));
    for (const item of same) t.insert(item);
    expect(items(t)).toEqual(same);
  });

  it('says whether it removed something, and forgets it', () => {
    const t = tree();
    const a = { start: 1, last: 2, order: 0 };
    t.insert(a);
    expect(t.has(a)).toBe(true);
    expect(t.remove(a)).toBe(true);
    expect(t.remove(a)).toBe(false);
    expect(t.has(a)).toBe(false);
    expect(t.first(0, 9)).toBeUndefined();
  });

  it('lets the callback remove the item it is given', () => {
    const t = tree();
    for (let order = 0; order < 100; order++) t.insert({ start: order, last: order + 5, order });
    t.forEachOverlap(20, 29, (item) => t.remove(item));
    expect(t.first(20, 29)).toBeUndefined();
    expect(t.size).toBe(100 - 15);
    t.forEach((item) => t.remove(item));
    expect(t.size).toBe(0);
  });

  it('refuses misuse with the offending values', () => {
    const t = tree();
    const a = { start: 1, last: 2, order: 0 };
    expect(() => t.insert({ start: 4, last: 3, order: 0 })).toThrow(
      new RangeError('interval [4, 3] is empty: both ends are inclusive'),
    );
    expect(() => t.insert({ start: Number.NaN, last: 3, order: 0 })).toThrow(RangeError);
    t.insert(a);
    expect(() => t.insert(a)).toThrow('interval [1, 2] is in the tree already');
    expect(() => t.next({ start: 1, last: 2, order: 9 }, 0, 9)).toThrow(RangeError);
    expect(items(t)).toEqual([a]);
  });

  it('agrees with a sorted array over any sequence of insertions and removals', () => {
    const step = fc.record({
      remove: fc.boolean(),
      start: fc.nat(200),
      pages: fc.integer({ min: 1, max: 40 }),
      victim: fc.nat(1000),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
        const t = tree();
        const naive = new NaiveIntervals();
        const removals: boolean[] = [];
        steps.forEach((s, order) => {
          if (s.remove && naive.items.length > 0) {
            const [victim] = naive.items.splice(s.victim % naive.items.length, 1);
            removals.push(t.remove(victim!));
          } else {
            const item = { start: s.start, last: s.start + s.pages - 1, order };
            t.insert(item);
            naive.insert(item);
          }
          const [start, last] = [s.victim % 220, (s.victim % 220) + s.pages];
          const found: Item[] = [];
          for (let i = t.first(start, last); i !== undefined; i = t.next(i, start, last)) found.push(i);
          expect(found).toEqual(naive.overlaps(start, last));
          const visited: Item[] = [];
          t.forEachOverlap(start, last, (i) => visited.push(i));
          expect(visited).toEqual(found);
        });
        expect(removals.every(Boolean)).toBe(true);
        expect(items(t)).toEqual(naive.items);
        expect(t.size).toBe(naive.items.length);
      }),
      { seed: 7, numRuns: 200 },
    );
  });
});
