import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../src/index.ts';

describe('VirtualClock', () => {
  it('moves forward by spans and to instants, never back', () => {
    const clock = new VirtualClock();
    clock.advance(10);
    clock.advance(0);
    clock.advanceTo(25);
    clock.advanceTo(5);
    expect(clock.nowNs).toBe(25);
  });

  it('refuses spans that are none, and stays where it is', () => {
    const clock = new VirtualClock();
    for (const ns of [-1, Number.NaN, Number.POSITIVE_INFINITY])
      expect(() => clock.advance(ns)).toThrow(RangeError);
    expect(clock.nowNs).toBe(0);
  });
});
