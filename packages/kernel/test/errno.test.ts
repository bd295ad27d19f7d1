import { describe, expect, it } from 'vitest';
import * as kernel from '../src/index.ts';

describe('errno', () => {
  it('prints return values as a kernel log does', () => {
    expect([0, -kernel.EBUSY, -kernel.ENOMEM, -9999, 5].map(kernel.errnoName)).toEqual([
      '0',
      '-EBUSY',
      '-ENOMEM',
      '-9999',
      '5',
    ]);
  });

  it('exports every number under the name that it prints', () => {
    const numbers = Object.entries(kernel).filter(([name]) => /^E[A-Z0-9]+$/.test(name));
    expect(numbers.length).toBeGreaterThan(20);
    for (const [name, value] of numbers) expect(kernel.errnoName(-(value as number))).toBe(`-${name}`);
  });
});
