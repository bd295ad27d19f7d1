import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  alignDown,
  alignmentOrder,
  alignUp,
  bytesToPage,
  bytesToPages,
  HPAGE_PMD_NR,
  HPAGE_PMD_SIZE,
  ilog2,
  isAligned,
  offsetInPage,
  PAGE_SIZE,
  pageToBytes,
  roundupPowOfTwo,
} from '../src/index.ts';

const OPTIONS = { seed: 5, numRuns: 300 };
const addresses = fc.nat(2 ** 31 - 1).chain((high) => fc.nat(2 ** 21 - 1).map((low) => high * 2 ** 21 + low));

describe('units', () => {
  it('split an address of 52 bits exactly into page and offset', () => {
    fc.assert(
      fc.property(addresses, (bytes) => {
        expect(pageToBytes(bytesToPage(bytes)) + offsetInPage(bytes)).toBe(bytes);
        expect(BigInt(bytesToPage(bytes))).toBe(BigInt(bytes) >> 12n);
        expect(bytesToPages(bytes)).toBe(bytesToPage(bytes) + (offsetInPage(bytes) > 0 ? 1 : 0));
      }),
      OPTIONS,
    );
  });

  it('align to powers of two', () => {
    fc.assert(
      fc.property(addresses, fc.nat(30), (x, order) => {
        const size = 2 ** order;
        const down = alignDown(x, size);
        expect(BigInt(down)).toBe((BigInt(x) >> BigInt(order)) << BigInt(order));
        expect(alignUp(x, size)).toBe(down === x ? x : down + size);
        expect(isAligned(x, size)).toBe(down === x);
      }),
      OPTIONS,
    );
  });

  it('take logarithms and round up to powers of two', () => {
    expect([1, 2, 3, 512, 513, 2 ** 31 - 1].map(ilog2)).toEqual([0, 1, 1, 9, 9, 30]);
    expect([1, 2, 3, 512, 513, 2 ** 30, 2 ** 30 + 1, 2 ** 40, 2 ** 52].map(roundupPowOfTwo)).toEqual([
      1,
      2,
      4,
      512,
      1024,
      2 ** 30,
      2 ** 31,
      2 ** 40,
      2 ** 52,
    ]);
    for (let order = 31; order < 52; order++) {
      expect(roundupPowOfTwo(2 ** order - 1)).toBe(2 ** order);
      expect(roundupPowOfTwo(2 ** order + 1)).toBe(2 ** (order + 1));
    }
  });

  it('find the largest natural alignment of a page', () => {
    expect([0, 1, 2, 512, 768, 2 ** 40, 2 ** 40 + 4].map((page) => alignmentOrder(page, 9))).toEqual([
      9, 0, 1, 9, 8, 9, 2,
    ]);
  });

  it('agree on the size of a huge page', () => {
    expect(HPAGE_PMD_SIZE).toBe(HPAGE_PMD_NR * PAGE_SIZE);
  });
});
