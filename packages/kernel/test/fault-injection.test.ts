import { describe, expect, it } from 'vitest';
import { ENOMEM, FaultInjection } from '../src/index.ts';

/** Allocates `n` things; on failure gives back what it has. */
function scenario(faults: FaultInjection, n: number, live: Set<number>): number {
  const sites = [faults.site('alloc.even'), faults.site('alloc.odd')];
  for (let i = 0; i < n; i++) {
    if (sites[i % 2]!.shouldFail()) {
      live.clear();
      return -ENOMEM;
    }
    live.add(i);
  }
  return 0;
}

const totalCalls = (faults: FaultInjection): number => faults.sites().reduce((sum, s) => sum + s.calls, 0);

describe('FaultInjection', () => {
  it('fails nothing and counts everything when nothing is armed', () => {
    const faults = new FaultInjection();
    expect(scenario(faults, 5, new Set())).toBe(0);
    expect(faults.sites()).toEqual([
      { name: 'alloc.even', calls: 3, failures: 0 },
      { name: 'alloc.odd', calls: 2, failures: 0 },
    ]);
  });

  it('fails exactly the n-th call of a site from now on', () => {
    const faults = new FaultInjection();
    const site = faults.site('s');
    site.shouldFail();
    faults.failNth('s', 2);
    faults.failNth('s', 4);
    expect([1, 2, 3, 4, 5, 6].map(() => site.shouldFail())).toEqual([false, true, false, true, false, false]);
    expect(faults.sites()).toEqual([{ name: 's', calls: 7, failures: 2 }]);
    expect(site.calls).toBe(7);
  });

  it('can be armed before the site exists', () => {
    const faults = new FaultInjection();
    faults.failNth('later', 1);
    expect(faults.site('later').shouldFail()).toBe(true);
    expect(faults.site('other').shouldFail()).toBe(false);
  });

  it('fails the n-th call of any site, for every n, once', () => {
    const rehearsal = new FaultInjection();
    scenario(rehearsal, 6, new Set());
    for (let k = 1; k <= totalCalls(rehearsal); k++) {
      const faults = new FaultInjection();
      const live = new Set<number>();
      faults.failAnyNth(k);
      expect(scenario(faults, 6, live)).toBe(-ENOMEM);
      expect(live.size).toBe(0);
      expect(totalCalls(faults)).toBe(k);
      expect(faults.anyNth).toBe(0);
      expect(scenario(faults, 6, live)).toBe(0);
    }
  });

  it('is disarmed by reset, and keeps its counts', () => {
    const faults = new FaultInjection();
    faults.failNth('s', 1);
    faults.failAnyNth(1);
    faults.reset();
    expect(faults.site('s').shouldFail()).toBe(false);
    expect(faults.sites()).toEqual([{ name: 's', calls: 1, failures: 0 }]);
    faults.failAnyNth(1);
    faults.failAnyNth(0);
    expect(faults.site('s').shouldFail()).toBe(false);
  });

  it('refuses counts that are none', () => {
    const faults = new FaultInjection();
    for (const nth of [0, -1, 1.5, Number.NaN]) {
      expect(() => faults.failNth('s', nth)).toThrow(RangeError);
    }
    expect(() => faults.failAnyNth(-1)).toThrow(
      new RangeError('failAnyNth counts from 1, or 0 to disarm, got -1'),
    );
  });
});
