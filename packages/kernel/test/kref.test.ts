import { describe, expect, it } from 'vitest';
import { Kref } from '../src/index.ts';

describe('Kref', () => {
  it('releases once, with the last reference', () => {
    let released = 0;
    const kref = new Kref('bo 1', 'vm', () => released++);
    kref.get('range');
    kref.get('range');
    expect([kref.count, kref.describe()]).toEqual([3, 'vm 1, range 2']);
    expect([kref.put('range'), kref.put('vm')]).toEqual([false, false]);
    expect([released, kref.describe()]).toEqual([0, 'range 1']);
    expect(kref.put('range')).toBe(true);
    expect([released, kref.count, kref.describe()]).toEqual([1, 0, '']);
  });

  it('refuses a put by somebody who holds nothing, and names the holders', () => {
    const kref = new Kref('bo 1', 'vm', () => {});
    expect(() => kref.put('range')).toThrow('bo 1: range puts a reference it does not hold (vm 1)');
    expect(kref.count).toBe(1);
  });

  it('refuses to come back to life', () => {
    const kref = new Kref('bo 1', 'vm', () => {});
    kref.put('vm');
    expect(kref.getUnlessZero('range')).toBe(false);
    expect(() => kref.get('range')).toThrow('bo 1: reference for range taken after release');
    expect(() => kref.put('vm')).toThrow('does not hold');
    expect(kref.count).toBe(0);
  });

  it('takes a reference unless it is zero', () => {
    const kref = new Kref('bo 1', 'vm', () => {});
    expect(kref.getUnlessZero('range')).toBe(true);
    expect(kref.count).toBe(2);
  });
});
