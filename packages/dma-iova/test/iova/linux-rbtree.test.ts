import { Machine } from '@gpusvm/kernel';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { same } from '../../src/contract/index.ts';
import { LinuxRbtree } from '../../src/index.ts';
import { NaiveIova } from './naive-iova.ts';

const LIMITS = [2 ** 12 - 1, 2 ** 20 - 1, 2 ** 28 - 1];

/** Sizes above 32 pages, so that no cache stands between the search and the test. */
const step = fc.oneof(
  fc.record({
    kind: fc.constant('alloc' as const),
    size: fc.integer({ min: 33, max: 900 }),
    limit: fc.nat(2),
  }),
  fc.record({ kind: fc.constant('free' as const), which: fc.nat(1000) }),
);

describe('placement of linux-rbtree', () => {
  it('agrees, address by address, with a naive search by the rules of iova.c', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 250 }), (steps) => {
        const iova = new LinuxRbtree(new Machine());
        const naive = new NaiveIova();
        const held: { page: number; size: number }[] = [];
        for (const s of steps) {
          if (s.kind === 'free') {
            const [gone] = held.splice(s.which % Math.max(1, held.length), 1);
            if (gone === undefined) continue;
            iova.free(gone.page, gone.size, 0);
            naive.free(gone.page);
          } else {
            const limit = LIMITS[s.limit]!;
            const page = iova.alloc(s.size, limit, false, 0);
            same(page, naive.alloc(s.size, limit + 1), `address of ${s.size} pages`);
            if (page !== 0) held.push({ page, size: s.size });
          }
          iova.check();
        }
        expect(iova.nodes).toBe(held.length);
      }),
      { numRuns: 150, seed: 20260201 },
    );
  });

  it('fills a small space to the last aligned slot and finds a hole anywhere in it', () => {
    const iova = new LinuxRbtree(new Machine());
    const pages = Array.from({ length: 63 }, () => iova.alloc(64, 4095, true, 0));
    expect(pages.every((page) => page > 0)).toBe(true);
    expect(iova.alloc(64, 4095, true, 0)).toBe(0);
    iova.free(pages[40]!, 64, 0);
    expect(iova.alloc(64, 4095, true, 0)).toBe(pages[40]);
  });

  it('fails 32-bit requests fast after one has failed, until something below 4 GiB is freed', () => {
    const machine = new Machine();
    const iova = new LinuxRbtree(machine);
    const kept = iova.alloc(2 ** 19, 2 ** 20 - 1, false, 0);
    expect(iova.alloc(2 ** 19, 2 ** 20 - 1, false, 0)).toBe(0);
    const steps = machine.counters.snapshot().get('dma.rbStep');
    expect(iova.alloc(2 ** 19 + 1, 2 ** 20 - 1, false, 0)).toBe(0);
    expect(machine.counters.snapshot().get('dma.rbStep')).toBe(steps);
    iova.free(kept, 2 ** 19, 0);
    expect(iova.alloc(2 ** 19, 2 ** 20 - 1, false, 0)).toBe(kept);
  });
});

describe('a reservation that is no range', () => {
  it('warns and reserves nothing', () => {
    const machine = new Machine();
    const iova = new LinuxRbtree(machine);
    for (const [first, last] of [
      [5, 4],
      [0, 2 ** 52],
      [-1, 3],
    ] as const)
      iova.reserve(first, last);
    expect([machine.warnings, iova.nodes]).toEqual([3, 0]);
  });
});

describe('the caches in front', () => {
  it('keep freed ranges of up to 32 pages by size bin and CPU', () => {
    const machine = new Machine({ cpus: 2 });
    const iova = new LinuxRbtree(machine);
    const three = iova.alloc(3, 2 ** 20 - 1, true, 0);
    iova.free(three, 3, 1);
    expect(iova.alloc(4, 2 ** 20 - 1, true, 0)).not.toBe(three);
    expect(iova.alloc(4, 2 ** 20 - 1, true, 1)).toBe(three);
    iova.check();
  });

  it('move full magazines to the depot, and trim it to one a CPU at one in 100 ms', () => {
    const machine = new Machine();
    const iova = new LinuxRbtree(machine);
    const pages = Array.from({ length: 127 * 5 }, () => iova.alloc(1, 2 ** 20 - 1, true, 0));
    for (const page of pages) iova.free(page, 1, 0);
    // Two magazines at the CPU, three in the depot: two of them have to go.
    expect(machine.counters.snapshot().get('dma.rcDepot')).toBe(3);
    const nodes = iova.nodes;
    machine.clock.advance(100e6);
    iova.poll();
    expect(nodes - iova.nodes).toBe(127);
    machine.clock.advance(1000e6);
    iova.poll();
    expect(nodes - iova.nodes).toBe(254);
    iova.check();
  });

  it('are emptied when space is short and the caller allows it', () => {
    const iova = new LinuxRbtree(new Machine());
    const pages = Array.from({ length: 127 }, () => iova.alloc(32, 4095, true, 0));
    for (const page of pages) iova.free(page, 32, 0);
    expect(iova.alloc(64, 4095, false, 0)).toBe(0);
    expect(iova.alloc(64, 4095, true, 0)).toBeGreaterThan(0);
  });

  it('let the tree have a range when no magazine can be had', () => {
    const machine = new Machine();
    const iova = new LinuxRbtree(machine);
    const pages = Array.from({ length: 255 }, () => iova.alloc(1, 2 ** 20 - 1, true, 0));
    machine.faultInjection.failNth('iova.alloc_magazine', 1);
    const before = iova.nodes;
    for (const page of pages) iova.free(page, 1, 0);
    expect(before - iova.nodes).toBe(1);
    iova.check();
  });
});
