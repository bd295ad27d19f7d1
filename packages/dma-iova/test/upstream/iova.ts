import { Machine } from '@gpusvm/kernel';
import { expect } from 'vitest';
import {
  DmaDevice,
  dmaIovaFree,
  DmaIovaState,
  dmaIovaTryAlloc,
  iovaAllocator,
  type IovaAllocator,
  type IovaAllocatorName,
  LinuxRbtree,
  TagMemory,
} from '../../src/index.ts';
import { Random } from '../support/random.ts';
import type { UpstreamRow } from './rows.ts';

const BOTH: readonly IovaAllocatorName[] = ['linux-rbtree', 'segment-tree'];
const LOW = 2 ** 20 - 1;
const HIGH = 2 ** 36 - 1;

function both(): IovaAllocator[] {
  return BOTH.map((name) => iovaAllocator(name, new Machine()));
}

function steps(machine: Machine): number {
  return machine.counters.snapshot().get('dma.rbStep')!;
}

export const iovaRows: readonly UpstreamRow[] = [
  {
    suite: 'iova',
    name: 'size_aligned',
    title: 'every length up to 600 pages is aligned to its next power of two',
    run: () => {
      for (const iova of both()) {
        for (let pages = 1; pages <= 600; pages++) {
          const page = iova.alloc(pages, LOW, true, 0);
          expect(page % 2 ** Math.ceil(Math.log2(pages))).toBe(0);
        }
      }
    },
  },
  {
    suite: 'iova',
    name: 'top-down preference',
    title: 'the first range ends at the limit, the next one below it',
    run: () => {
      for (const iova of both()) {
        for (const limit of [LOW, HIGH]) {
          const first = iova.alloc(64, limit, true, 0);
          const second = iova.alloc(64, limit, true, 0);
          expect([first, second]).toEqual([limit + 1 - 64, limit + 1 - 128]);
        }
      }
    },
  },
  {
    suite: 'iova',
    name: 'reserve respected',
    title: 'overlapping and adjacent reservations join, and nothing is handed out in them',
    run: () => {
      for (const iova of both()) {
        iova.reserve(LOW - 999, LOW - 500);
        iova.reserve(LOW - 600, LOW - 200);
        iova.reserve(LOW - 199, LOW - 100);
        iova.reserve(LOW - 999, LOW - 500);
        for (let i = 0; i < 60; i++) {
          const page = iova.alloc(33, LOW, true, 0);
          expect(page > LOW - 100 || page + 32 < LOW - 999).toBe(true);
        }
      }
    },
  },
  {
    suite: 'iova',
    name: '32-bit in a full 64-bit domain',
    title: 'a low limit finds low space although everything above is in use',
    run: () => {
      for (const iova of both()) {
        iova.reserve(LOW + 1, HIGH);
        expect(iova.alloc(33, HIGH, true, 0)).toBeLessThanOrEqual(LOW);
        expect(iova.alloc(33, LOW, true, 0)).toBeGreaterThan(0);
      }
    },
  },
  {
    suite: 'iova',
    name: '33- and 56-bit limits',
    title: 'are kept to the page',
    run: () => {
      for (const bits of [33, 56]) {
        const iova = new LinuxRbtree(new Machine());
        const limit = 2 ** (bits - 12) - 1;
        expect([iova.alloc(33, limit, true, 0), iova.alloc(1, limit, true, 0)]).toEqual([
          limit + 1 - 64,
          limit + 1 - 65,
        ]);
        iova.check();
      }
    },
  },
  {
    suite: 'iova',
    name: 'aligned allocation in fragmented space',
    title: 'the one aligned gap is found, a gap of the same size that is not aligned is not taken',
    run: () => {
      for (const iova of both()) {
        const limit = 2 ** 13 - 1;
        const all: number[] = [];
        for (let page = iova.alloc(64, limit, true, 0); page !== 0; page = iova.alloc(64, limit, true, 0))
          all.push(page);
        const at = (page: number): void => iova.free(page, 64, 0);
        at(64 * 41);
        at(64 * 42); // [41, 43): 128 pages, not aligned to 128
        expect(iova.alloc(128, limit, true, 0)).toBe(0);
        at(64 * 20);
        at(64 * 21); // [20, 22): aligned
        expect(iova.alloc(128, limit, true, 0)).toBe(64 * 20);
      }
    },
  },
  {
    suite: 'iova',
    name: 'pci_32bit_workaround pattern',
    title: 'of 500 mappings the first are below 4 GiB, then the preference is given up for good',
    run: () => {
      const machine = new Machine();
      const dev = new DmaDevice(machine, new TagMemory(machine, { pages: 16 }), {
        name: 'nic',
        iommu: 'strict',
      });
      const states = Array.from({ length: 500 }, () => new DmaIovaState());
      for (const state of states) expect(dmaIovaTryAlloc(dev, state, 0, 2 ** 24)).toBe(true);
      const low = states.filter((state) => state.addr < 2 ** 32).length;
      expect(low).toBeGreaterThan(200);
      expect(states.slice(0, low).every((state) => state.addr < 2 ** 32)).toBe(true);
      for (const state of states) dmaIovaFree(dev, state);
      const after = new DmaIovaState();
      dmaIovaTryAlloc(dev, after, 0, 2 ** 24);
      expect(after.addr).toBeGreaterThan(2 ** 32);
    },
  },
  {
    suite: 'iova',
    name: 'random stress',
    title: 'the tree is sound after every one of 4000 operations',
    run: () => {
      const random = new Random(3);
      const iova = new LinuxRbtree(new Machine({ cpus: 2 }));
      const held: [number, number][] = [];
      for (let i = 0; i < 4000; i++) {
        const gone = random.below(2) === 0 ? held.pop() : undefined;
        if (gone !== undefined) iova.free(gone[0], gone[1], random.below(2));
        else {
          const pages = 1 + random.below(70);
          const page = iova.alloc(
            pages,
            random.pick([LOW, HIGH, 4095]),
            random.below(2) === 0,
            random.below(2),
          );
          if (page !== 0) held.push([page, pages]);
        }
        iova.check();
      }
    },
  },
  {
    suite: 'iova',
    name: 'full-space failing search',
    title: 'looks at every range at most twice, and 32-bit searches fail fast the second time',
    run: () => {
      const machine = new Machine();
      const iova = new LinuxRbtree(machine);
      let count = 0;
      while (iova.alloc(64, 2 ** 16 - 1, false, 0) !== 0) count++;
      const before = steps(machine);
      expect(iova.alloc(64, 2 ** 16 - 1, false, 0)).toBe(0);
      expect(steps(machine) - before).toBeLessThanOrEqual(2 * (count + 2));
      const again = steps(machine);
      expect([iova.alloc(64, 2 ** 16 - 1, false, 0), steps(machine)]).toEqual([0, again]);
    },
  },
  {
    suite: 'iova',
    name: 'fragmented 32-bit search',
    title: 'is linear on linux-rbtree, as in the kernel, and finds room on segment-tree too',
    run: () => {
      const machine = new Machine();
      const iova = new LinuxRbtree(machine);
      const held = Array.from({ length: 4000 }, () => iova.alloc(33, LOW, false, 0));
      for (let i = 0; i < held.length; i += 2) iova.free(held[i]!, 33, 0);
      const before = steps(machine);
      iova.alloc(128, LOW, false, 0);
      expect(steps(machine) - before).toBeLessThanOrEqual(2 * 2002);
      expect(steps(machine) - before).toBeGreaterThan(500);
      const tree = iovaAllocator('segment-tree', new Machine());
      const taken = Array.from({ length: 4000 }, () => tree.alloc(33, LOW, false, 0));
      for (let i = 0; i < taken.length; i += 2) tree.free(taken[i]!, 33, 0);
      expect(tree.alloc(128, LOW, false, 0)).toBeGreaterThan(0);
    },
  },
];
