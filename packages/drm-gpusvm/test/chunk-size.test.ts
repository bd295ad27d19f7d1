import { done, Machine } from '@gpusvm/kernel';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chooseChunk } from '../src/chunk-size.ts';

const SEED = 0x5eed;

/** The rules of the spec, written down page by page. */
function bruteForce(
  sizes: readonly number[],
  fault: number,
  window: readonly [number, number],
  threshold: number,
  taken: ReadonlySet<number>,
  populated: ReadonlySet<number>,
): number {
  for (const size of sizes) {
    const pages: number[] = [];
    for (let page = fault - size + 1; page < fault + size; page++) {
      if (Math.floor(page / size) === Math.floor(fault / size)) pages.push(page);
    }
    if (!pages.every((page) => page >= window[0] && page < window[1])) continue;
    if (size === 1) return 1;
    if (pages.some((page) => taken.has(page))) continue;
    if (size <= threshold && !pages.every((page) => populated.has(page))) continue;
    return size;
  }
  return 0;
}

describe('chooseChunk', () => {
  it('agrees with a chooser that looks at every page', () => {
    const machine = new Machine();
    const page = fc.integer({ min: 0, max: 127 });
    const scenario = fc.record({
      sizes: fc.constantFrom([64, 16, 4, 1], [16, 1], [1], [64, 1]),
      fault: page,
      a: page,
      b: page,
      threshold: fc.constantFrom(0, 4, 16, 64),
      taken: fc.uniqueArray(page, { maxLength: 6 }),
      holes: fc.uniqueArray(page, { maxLength: 12 }),
    });
    fc.assert(
      fc.property(scenario, ({ sizes, fault, a, b, threshold, taken, holes }) => {
        const window = [Math.min(a, b), Math.max(a, b) + 1] as const;
        const takenSet = new Set(taken);
        const populated = new Set(Array.from({ length: 128 }, (_, i) => i).filter((i) => !holes.includes(i)));
        const every = (start: number, end: number, test: (page: number) => boolean): boolean => {
          for (let i = start; i < end; i++) if (!test(i)) return false;
          return true;
        };
        const chosen = machine.run(
          chooseChunk(
            sizes,
            fault,
            { startPage: window[0], endPage: window[1], checkPagesThreshold: threshold },
            (start, end) => !every(start, end, (i) => !takenSet.has(i)),
            (start, end) => done(every(start, end, (i) => populated.has(i))),
          ),
        );
        expect(chosen).toBe(bruteForce(sizes, fault, window, threshold, takenSet, populated));
      }),
      { seed: SEED, numRuns: 2000 },
    );
  });

  it('does not look at the pages of chunks above the threshold, nor at single pages', () => {
    const machine = new Machine();
    const asked: [number, number][] = [];
    const choose = (checkPagesThreshold: number, endPage: number): number =>
      machine.run(
        chooseChunk(
          [64, 16, 1],
          70,
          { startPage: 64, endPage, checkPagesThreshold },
          () => false,
          (start, end) => {
            asked.push([start, end]);
            return done(false);
          },
        ),
      );
    expect(choose(16, 128)).toBe(64);
    expect(asked).toEqual([]);
    expect(choose(16, 127)).toBe(1);
    expect(asked).toEqual([[64, 80]]);
  });
});
