import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PageFlag } from '../../src/capture/capture.ts';
import { placeRuns } from '../../src/compare/placement.ts';
import { anonVma, layout, type Run } from '../support/layout.ts';

const place = (runs: readonly Run[]) => placeRuns(layout([anonVma(0, 1_000_000)], runs));

describe('placeRuns', () => {
  it('keeps what is physically contiguous together, wherever it is in virtual memory', () => {
    const { pfn } = place([
      { page: 10, pages: 2, pfn: 9002 },
      { page: 50, pages: 2, pfn: 9000 },
    ]);
    expect(pfn[0]! - pfn[1]!).toBe(2);
  });

  it('keeps apart what is not contiguous, with a page between', () => {
    const { pfn } = place([
      { page: 10, pages: 1, pfn: 9000 },
      { page: 11, pages: 1, pfn: 9002 },
    ]);
    expect(Math.abs(pfn[1]! - pfn[0]!)).toBeGreaterThan(1);
  });

  it('keeps the alignment of a 2 MiB folio', () => {
    const { pfn } = place([
      { page: 7, pages: 1, pfn: 3 },
      { page: 512, pages: 512, pfn: 512 * 77, order: 9 },
    ]);
    expect(pfn[1]! % 512).toBe(0);
  });

  it('places the whole folio when a run begins inside it', () => {
    const { pfn, extents } = place([{ page: 3, pages: 2, pfn: 1000 * 16 + 5, order: 4 }]);
    expect(pfn[0]! % 16).toBe(5);
    expect(extents).toEqual([{ pfn: pfn[0]! - 5, pages: 16 }]);
  });

  it('gives no page to swapped and zero pages', () => {
    const { pfn, extents } = place([
      { page: 3, pages: 2, flags: PageFlag.SWAPPED },
      { page: 9, pages: 1, pfn: 77, flags: PageFlag.ZERO },
    ]);
    expect([...pfn]).toEqual([-1, -1]);
    expect(extents).toEqual([]);
  });

  it('gives a page that is mapped twice two places', () => {
    const { pfn } = place([
      { page: 3, pages: 4, pfn: 100 },
      { page: 90, pages: 2, pfn: 101 },
    ]);
    const first = [0, 1, 2, 3].map((i) => pfn[0]! + i);
    expect(first).not.toContain(pfn[1]!);
    expect(first).not.toContain(pfn[1]! + 1);
  });

  it('needs RAM in proportion to the pages, however far apart they were', () => {
    const runs = Array.from({ length: 1000 }, (_, i) => ({ page: i, pages: 1, pfn: 1 + i * 7919 }));
    expect(place(runs).endPfn).toBeLessThan(2 * 1000 + 10);
  });

  it('never gives one pfn to two pages and keeps alignment up to the extent, for random layouts', () => {
    const gen = fc.array(
      fc.record({
        gap: fc.nat(30),
        pages: fc.integer({ min: 1, max: 40 }),
        order: fc.nat(5),
        skip: fc.nat(63),
      }),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(gen, (specs) => {
        let page = 1;
        let pfn = 64;
        const runs = specs.map(({ gap, pages, order, skip }) => {
          page += gap;
          const start = Math.ceil(pfn / 64) * 64 + (skip % 2 ** order);
          const run = { page, pages, pfn: start, order };
          page += pages;
          pfn = Math.ceil((start + pages) / 64) * 64;
          return run;
        });
        const placed = place(runs);
        const used = new Set<number>();
        runs.forEach((run, r) => {
          const first = placed.pfn[r]!;
          expect(first % 2 ** run.order).toBe(run.pfn % 2 ** run.order);
          for (let i = 0; i < run.pages; i++) {
            expect(used.has(first + i)).toBe(false);
            used.add(first + i);
          }
          expect(first + run.pages).toBeLessThanOrEqual(placed.endPfn);
        });
      }),
    );
  });
});
