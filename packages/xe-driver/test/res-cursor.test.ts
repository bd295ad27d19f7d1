import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type DmaEntries, ResCursor } from '../src/res-cursor.ts';

function entries(list: readonly (readonly [addrPage: number, order: number, proto: number])[]): DmaEntries {
  return {
    addr: Float64Array.from(list, ([page]) => page * 4096),
    order: Uint8Array.from(list, ([, order]) => order),
    proto: Uint8Array.from(list, ([, , proto]) => proto),
  };
}

test('neighbours with adjacent addresses and equal interconnect are one segment', () => {
  const cursor = new ResCursor(
    entries([
      [10, 0, 0],
      [11, 1, 0],
      [13, 0, 0],
      [20, 0, 0],
    ]),
    5,
  );
  expect([cursor.addrBytes, cursor.segmentPages]).toEqual([10 * 4096, 4]);
  cursor.advance(4);
  expect([cursor.addrBytes, cursor.segmentPages, cursor.remainingPages]).toEqual([20 * 4096, 1, 1]);
});

test('another interconnect ends a segment even when the address continues', () => {
  const cursor = new ResCursor(
    entries([
      [10, 0, 1],
      [11, 0, 0],
    ]),
    2,
  );
  expect([cursor.segmentPages, cursor.isVram]).toEqual([1, true]);
  cursor.advance(1);
  expect([cursor.segmentPages, cursor.isVram]).toEqual([1, false]);
});

test('a cursor never looks beyond the requested length', () => {
  const cursor = new ResCursor(
    entries([
      [10, 2, 0],
      [14, 0, 0],
    ]),
    3,
  );
  expect(cursor.segmentPages).toBe(3);
  cursor.advance(3);
  expect(cursor.remainingPages).toBe(0);
});

test('a step across the end of a segment is refused', () => {
  expect(() =>
    new ResCursor(
      entries([
        [10, 0, 0],
        [12, 0, 0],
      ]),
      2,
    ).advance(2),
  ).toThrow(RangeError);
});

test('walking in any steps yields the address of every page', () => {
  const entry = fc.tuple(
    fc.integer({ min: 1, max: 40 }),
    fc.integer({ min: 0, max: 3 }),
    fc.integer({ min: 0, max: 1 }),
  );
  fc.assert(
    fc.property(
      fc.array(entry, { minLength: 1, maxLength: 12 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 9 })),
      (list, steps) => {
        const expected: string[] = [];
        for (const [page, order, proto] of list) {
          for (let k = 0; k < 1 << order; k++) expected.push(`${page + k}/${proto}`);
        }
        const cursor = new ResCursor(entries(list), expected.length);
        const seen: string[] = [];
        for (const wanted of steps) {
          if (cursor.remainingPages === 0) break;
          const step = Math.min(wanted, cursor.segmentPages);
          for (let k = 0; k < step; k++) seen.push(`${cursor.addrBytes / 4096 + k}/${cursor.proto}`);
          cursor.advance(step);
        }
        expect(seen).toEqual(expected);
      },
    ),
    { seed: 1, numRuns: 200 },
  );
});
