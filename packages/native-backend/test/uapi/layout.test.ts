import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { IOMMU_OPTION } from '../../src/uapi/iommufd.ts';
import type { Call } from '../../src/uapi/call.ts';
import * as mock from '../../src/uapi/iommufd-test.ts';
import * as virtual from '../../src/uapi/iommufd-test-virtual.ts';
import { decode, encoded, offsetOf, sizeOf } from '../../src/uapi/layout.ts';

const MIXED = [
  ['a', 'u8'],
  ['b', 'u16'],
  ['c', 's32'],
  ['d', 'u64'],
  ['e', 'u32'],
] as const;

describe('a structure', () => {
  test('has the offsets and the size that C gives it', () => {
    expect(MIXED.map(([name]) => offsetOf(MIXED, name))).toEqual([0, 2, 4, 8, 16]);
    expect(sizeOf(MIXED)).toBe(24);
  });

  test('comes back as it was written, for all values of all types', () => {
    fc.assert(
      fc.property(
        fc.record({
          a: fc.integer({ min: 0, max: 255 }),
          b: fc.integer({ min: 0, max: 65535 }),
          c: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
          d: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
          e: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
        }),
        (values) => {
          expect(decode(MIXED, encoded(MIXED, values))).toEqual(values);
        },
      ),
    );
  });

  test('refuses a value that does not fit and names the field', () => {
    expect(() => encoded(MIXED, { b: 65536 })).toThrow('b = 65536 does not fit u16');
    expect(() => encoded(MIXED, { d: -1n })).toThrow('d = -1 does not fit u64');
    expect(() => encoded(MIXED, { c: 2 ** 31 })).toThrow('does not fit s32');
  });

  test('reads fields beyond the end of a shorter buffer as 0', () => {
    const bytes = encoded(IOMMU_OPTION.fields, { size: 16, val64: 7n }).subarray(0, 16);
    expect(decode(IOMMU_OPTION.fields, bytes)).toMatchObject({ size: 16, val64: 0n });
  });

  test('every operation of the mock device has the 72 bytes of its union', () => {
    const layouts = [...Object.values(mock), ...Object.values(virtual)].filter(
      (value) => typeof value === 'object' && !Array.isArray(value),
    ) as Call[];
    expect(layouts.map(({ fields }) => sizeOf(fields))).toEqual(layouts.map(() => 72));
    expect(layouts).toHaveLength(13);
  });
});
