import { Machine } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import {
  type DmaCounterName,
  DmaDevice,
  type DmaDeviceOptions,
  dmaIovaDestroy,
  dmaIovaFree,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaIovaUnlink,
  dmaMapPage,
  dmaUnmapPage,
  TagMemory,
} from '../src/index.ts';

const PAGE = 4096;
const N = 512;

/** What one 2 MiB fault costs, with the tables above in place (specification 3.2). */
function cost(run: (dev: DmaDevice) => void, options: Partial<DmaDeviceOptions> = {}) {
  const machine = new Machine();
  const memory = new TagMemory(machine, { pages: 8192 });
  const dev = new DmaDevice(machine, memory, { name: 'gpu', iommu: 'strict', ...options });
  const above = new DmaIovaState();
  dmaIovaTryAlloc(dev, above, 0, 2 * N * PAGE);
  dmaIovaLink(dev, above, 4096 * PAGE, 0, N * PAGE, 0, 0);
  const before = machine.counters.snapshot();
  run(dev);
  const after = machine.counters.snapshot();
  return (...names: DmaCounterName[]): number[] =>
    names.map((n) => after.get(`dma.${n}`)! - before.get(`dma.${n}`)!);
}

function pfn(i: number): number {
  return 1024 + ((i * 7) % N) * 2;
}

function withReservation(dev: DmaDevice, run: (state: DmaIovaState) => void): void {
  const state = new DmaIovaState();
  dmaIovaTryAlloc(dev, state, 0, N * PAGE);
  run(state);
}

function linkAll(dev: DmaDevice, state: DmaIovaState): void {
  for (let i = 0; i < N; i++) dmaIovaLink(dev, state, pfn(i) * PAGE, i * PAGE, PAGE, 0, 0);
}

describe('operations of one 2 MiB fault as 512 scattered pages', () => {
  it('dma_map_page: 1536 walks, 1024 entries, 512 invalidations', () => {
    const count = cost((dev) => {
      const addrs = Array.from({ length: N }, (_, i) => dmaMapPage(dev, pfn(i), 0, PAGE, 0, 0));
      for (const addr of addrs) dmaUnmapPage(dev, addr, PAGE, 0, 0);
    });
    const [walk, entries, invalidations, calls] = count('walk', 'pteW', 'iotlbInv', 'callMap');
    // 512 pages of single reservations lie in up to two lowest tables, each linked with one entry.
    expect([walk, invalidations, calls]).toEqual([1536, 512, 512]);
    expect(entries! - 1024).toBeLessThanOrEqual(2);
  });

  it('dma_map_page, lazy: two flushes of the whole domain instead', () => {
    const count = cost(
      (dev) => {
        const addrs = Array.from({ length: N }, (_, i) => dmaMapPage(dev, pfn(i), 0, PAGE, 0, 0));
        for (const addr of addrs) dmaUnmapPage(dev, addr, PAGE, 0, 0);
      },
      { iommu: 'lazy' },
    );
    expect(count('fqEnt', 'fqFlushAll', 'iotlbInv')).toEqual([512, 2, 2]);
  });

  it('link per page and one destroy: 513 walks, 1026 entries, one table, one invalidation', () => {
    const count = cost((dev) => {
      withReservation(dev, (state) => {
        linkAll(dev, state);
        dmaIovaSync(dev, state, 0, N * PAGE);
        dmaIovaDestroy(dev, state, N * PAGE, 0, 0);
      });
    });
    expect(count('walk', 'pteW', 'tblAlloc', 'tblFree', 'iotlbInv', 'rbAlloc', 'rbFree')).toEqual([
      513, 1026, 1, 1, 1, 1, 1,
    ]);
  });

  it('a 2 MiB page: two walks, two entries, no table', () => {
    const count = cost((dev) => {
      withReservation(dev, (state) => {
        dmaIovaLink(dev, state, 4096 * PAGE, 0, N * PAGE, 0, 0);
        dmaIovaSync(dev, state, 0, N * PAGE);
        dmaIovaDestroy(dev, state, N * PAGE, 0, 0);
      });
    });
    expect(count('walk', 'lvlTouch', 'pteW', 'tblAlloc', 'iotlbInv')).toEqual([2, 6, 2, 0, 1]);
  });

  it('HMM, link and sync per page, unlink per page: 1024 walks, 512 invalidations, the table stays', () => {
    const count = cost((dev) => {
      withReservation(dev, (state) => {
        for (let i = 0; i < N; i++) {
          dmaIovaLink(dev, state, pfn(i) * PAGE, i * PAGE, PAGE, 0, 0);
          dmaIovaSync(dev, state, i * PAGE, PAGE);
        }
        for (let i = 0; i < N; i++) dmaIovaUnlink(dev, state, i * PAGE, PAGE, 0, 0);
        dmaIovaFree(dev, state);
      });
    });
    expect(count('callLink', 'callSync', 'callUnlink')).toEqual([N, N, N]);
    expect(count('walk', 'tblAlloc', 'tblFree', 'tblPinned', 'iotlbInv')).toEqual([1024, 1, 0, 1, 512]);
  });
});
