import fc from 'fast-check';
import { expect, it } from 'vitest';
import { AddressMap } from '../../src/shadow/address-map.ts';
import { leafAt } from '../../src/shadow/leaves.ts';
import { PageCounts } from '../../src/shadow/page-counts.ts';
import { PendingInvalidations } from '../../src/shadow/pending.ts';

it('an address map holds what a Map holds', () => {
  const key = fc.nat(60).map((k) => (k % 7 === 0 ? k * 2 ** 40 : k * 4096));
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), key, fc.integer({ min: 1, max: 99 }))), (steps) => {
      const ours = new AddressMap();
      const theirs = new Map<number, number>();
      for (const [add, k, v] of steps) {
        if (add) {
          ours.set(k, v);
          theirs.set(k, v);
        } else {
          ours.delete(k);
          theirs.delete(k);
        }
        expect(ours.size).toBe(theirs.size);
      }
      const seen = new Map<number, number>();
      ours.forEach((k, v) => seen.set(k, v));
      expect(seen).toEqual(theirs);
      for (const [k, v] of theirs) expect(ours.get(k)).toBe(v);
    }),
  );
});

it('page counts hold what a list holds, also far apart', () => {
  const step = fc.tuple(fc.boolean(), fc.nat(1500), fc.nat(700), fc.integer({ min: -2, max: 3 }));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), fc.constantFrom(0, 2 ** 30, 2 ** 40), (steps, base) => {
      const counts = new PageCounts();
      const list = new Int32Array(2300);
      for (const [add, first, more, value] of steps) {
        if (add) counts.add(base + first, 1 + more, value);
        else counts.set(base + first, 1 + more, value);
        for (let i = first; i <= first + more; i++) list[i] = add ? list[i]! + value : value;
        const at = (found: boolean): number => {
          const i = list.subarray(first, 2300).findIndex((n) => (n === value) === found);
          return i < 0 ? -1 : base + first + i;
        };
        expect(counts.firstEqual(base + first, 2300 - first, value)).toBe(at(true));
        expect(counts.firstOther(base + first, 2300 - first, value)).toBe(at(false));
      }
      expect(Array.from(list, (_, i) => counts.get(base + i))).toEqual([...list]);
    }),
    { numRuns: 50 },
  );
});

it('what an invalidation leaves out of the newest unmap was missed, of older ones it still waits', () => {
  const pending = new PendingInvalidations();
  const clean: number[] = [];
  pending.add(0, 40);
  pending.add(100, 40);
  pending.invalidate(20, 120, (page, pages) => clean.push(page, pages));
  expect(clean.sort((a, b) => a - b)).toEqual([20, 20, 20, 100]);
  expect([0, 19, 20, 119, 120, 139].map((page) => pending.isMissed(page))).toEqual([
    false,
    false,
    false,
    false,
    true,
    true,
  ]);
  pending.clear(() => {});
  expect(pending.length).toBe(0);
});

it('leaves follow from the link: the biggest sizes that fit, position by position', () => {
  const vtd = [0, 9, 18];
  expect(leafAt(510, 1022, 1026, vtd, 511)).toEqual({ firstPage: 511, pages: 1 });
  expect(leafAt(510, 1022, 1026, vtd, 700)).toEqual({ firstPage: 512, pages: 512 });
  expect(leafAt(512, 1, 512, vtd, 600)).toEqual({ firstPage: 600, pages: 1 });
  const amd = Array.from({ length: 10 }, (_, i) => i);
  expect(leafAt(8, 16, 12, amd, 15)).toEqual({ firstPage: 8, pages: 8 });
  expect(leafAt(8, 16, 12, amd, 17)).toEqual({ firstPage: 16, pages: 4 });
  expect(leafAt(8, 16, 12, amd, 20).pages).toBe(0);
});
