import { describe, expect, it } from 'vitest';
import { destroyRows } from './golden/destroy.ts';
import type { Backend, Row } from './golden/fixture.ts';
import { invalidationRows, lazyRows, tableRows } from './golden/lazy-tables.ts';
import { linkRows } from './golden/link.ts';
import { NOT_APPLICABLE, tryAllocRows } from './golden/try-alloc.ts';
import { unlinkRows } from './golden/unlink.ts';

/** Every row number of section 8 of the specification: measured on Linux 7.3.4. */
const ALL: readonly number[] = [
  1, 2, 3, 4, 5, 7, 9, 10, 11, 15, 16, 18, 20, 21, 22, 24, 25, 27, 28, 29, 31, 32, 33, 34, 36, 37, 39, 40, 41,
  43, 45, 46, 48, 49, 51, 54, 56, 57, 58, 59, 60, 61, 63, 64, 65, 66, 68, 69, 70, 71, 73, 75, 76, 78, 80, 81,
  82, 83, 84, 85, 86, 88, 89, 90, 93, 94, 96, 98, 100, 101, 104, 106, 107, 108, 110, 111, 112, 113, 115, 116,
  117, 118, 119, 120, 121, 122, 124, 125, 128, 129,
];

const ROWS: readonly Row[] = [
  ...tryAllocRows,
  ...linkRows,
  ...unlinkRows,
  ...destroyRows,
  ...lazyRows,
  ...tableRows,
  ...invalidationRows,
];

for (const backend of ['vtd', 'amdv1'] as const satisfies readonly Backend[]) {
  const excused = new Map(
    NOT_APPLICABLE.filter((n) => n.backend === undefined || n.backend === backend).map((n) => [
      n.no,
      n.reason,
    ]),
  );
  describe(`Linux 7.3.4, ${backend}`, () => {
    for (const row of ROWS) {
      if (excused.has(row.no)) continue;
      it(`row ${row.no} (${row.topic}): ${row.title}`, () => {
        const actual: unknown[] = [];
        const expected: unknown[] = [];
        row.run(backend, (a, e) => {
          actual.push(a);
          expected.push(e);
        });
        expect(actual.length).toBeGreaterThan(0);
        expect(actual).toEqual(expected);
      });
    }
  });
}

describe('coverage of section 8', () => {
  it('has a test for every row, or a reason why there can be none', () => {
    const covered = new Set([...ROWS.map((row) => row.no), ...NOT_APPLICABLE.map((n) => n.no)]);
    expect(ALL.filter((no) => !covered.has(no))).toEqual([]);
    expect([...covered].filter((no) => !ALL.includes(no))).toEqual([]);
  });
});
