import { describe, expect, it } from 'vitest';
import { Choice } from '../src/index.ts';

const draws = (seed: number, n: number, count: number): number[] => {
  const choice = new Choice(seed);
  return Array.from({ length: count }, () => choice.choose(n));
};

describe('Choice', () => {
  it('gives the same sequence for the same seed, and another for another', () => {
    expect(draws(9, 1000, 50)).toEqual(draws(9, 1000, 50));
    expect(draws(9, 1000, 50)).not.toEqual(draws(10, 1000, 50));
  });

  it('keeps its sequence across releases', () => {
    expect(draws(1, 100, 8)).toMatchInlineSnapshot(`
      [
        88,
        64,
        22,
        21,
        90,
        35,
        17,
        53,
      ]
    `);
  });

  it.each([2, 3, 7, 16])('draws each of %i alternatives equally often', (n) => {
    const counts = Array.from({ length: n }, () => 0);
    for (const draw of draws(3, n, 20_000)) counts[draw]!++;
    const expected = 20_000 / n;
    // Five standard deviations of a binomial distribution.
    const tolerance = 5 * Math.sqrt(expected * (1 - 1 / n));
    expect(counts.every((c) => Math.abs(c - expected) < tolerance)).toBe(true);
  });

  it('does not favour the low alternatives where n is close to the size of a draw', () => {
    // With a bare remainder, n = 3/4 of 2^31 would give two thirds of the draws to the lower half.
    const n = 3 * 2 ** 29;
    const low = draws(5, n, 20_000).filter((draw) => draw < n / 2).length;
    expect(Math.abs(low - 10_000)).toBeLessThan(5 * Math.sqrt(5_000));
    expect(draws(5, 2 ** 31, 100).every((draw) => draw >= 0 && draw < 2 ** 31)).toBe(true);
  });

  it('draws nothing for a single alternative', () => {
    const choice = new Choice(1);
    expect([choice.choose(1), choice.count]).toEqual([0, 0]);
    const next = choice.choose(1000);
    expect([next, choice.count]).toEqual([draws(1, 1000, 1)[0], 1]);
  });

  it('refuses numbers of alternatives and seeds that are none', () => {
    for (const n of [0, -1, 1.5, Number.NaN, 2 ** 31 + 1])
      expect(() => new Choice(1).choose(n)).toThrow(RangeError);
    for (const seed of [0.5, Number.NaN, 2 ** 32, -(2 ** 31) - 1])
      expect(() => new Choice(seed)).toThrow(RangeError);
    expect(new Choice(2 ** 32 - 1).choose(8)).toBeLessThan(8);
  });
});
