import { DMA_BIDIRECTIONAL, DmaDevice, type IommuMode, TagMemory } from '@gpusvm/dma-iova';
import { EADDRINUSE, KERNEL_PROFILES, type KernelProfile, Machine } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import { MapState } from '../../src/map-strategy/map-state.ts';
import { MAP_STRATEGIES, mapStrategy } from '../../src/map-strategy/registry.ts';
import type { MapStrategyName } from '../../src/map-strategy/strategy.ts';
import { SystemPages } from '../../src/system-pages.ts';

function rig(
  slots: readonly number[],
  iommu: IommuMode = 'strict',
  profile: KernelProfile | 'linux-7.3' = 'linux-7.3',
) {
  const machine = new Machine({ profile });
  const memory = new TagMemory(machine, { pages: 2048 });
  const device = new DmaDevice(machine, memory, { name: 'device', iommu });
  const pages = new SystemPages(512);
  for (const slot of slots) pages.push(slot, memory.allocPages(0), 0);
  const count = (name: string): number => machine.counters.snapshot().get(`dma.${name}`)!;
  return { machine, memory, device, pages, state: new MapState(), count };
}

const EVERY_OTHER = Array.from({ length: 8 }, (_, i) => 2 * i);

describe('registry', () => {
  test('every strategy has a name, one sentence and a source', () => {
    for (const name of MAP_STRATEGIES) {
      const strategy = mapStrategy(name);
      expect(strategy.name).toBe(name);
      expect(strategy.summary.length).toBeGreaterThan(20);
      expect(strategy.source.length).toBeGreaterThan(5);
    }
  });

  test('an unknown name is refused with the known ones', () => {
    expect(() => mapStrategy('iova-magic' as MapStrategyName)).toThrow(
      /iova-magic.*map-page, iova-dummy-fill/,
    );
    expect(() => mapStrategy('toString' as MapStrategyName)).toThrow(RangeError);
  });
});

describe('what one map and unmap of 8 pages with holes between costs', () => {
  test.each([
    ['map-page', { callMap: 8, callLink: 0, callSync: 0, callUnlink: 0, callUnmap: 8, iotlbInv: 8 }],
    ['iova-dummy-fill', { callMap: 0, callLink: 16, callSync: 1, callUnlink: 1, callUnmap: 0, iotlbInv: 1 }],
    ['iova-packed', { callMap: 0, callLink: 8, callSync: 1, callUnlink: 1, callUnmap: 0, iotlbInv: 1 }],
    [
      'iova-hole-tolerant',
      { callMap: 0, callLink: 8, callSync: 1, callUnlink: 1, callUnmap: 0, iotlbInv: 1 },
    ],
  ] as const)('%s', (name, wanted) => {
    const { device, pages, state, count } = rig(EVERY_OTHER);
    const strategy = mapStrategy(name);
    expect(strategy.map(device, state, pages, 16, DMA_BIDIRECTIONAL, true)).toBe(0);
    strategy.unmap(device, state, pages, DMA_BIDIRECTIONAL);
    const got = Object.fromEntries(Object.keys(wanted).map((counter) => [counter, count(counter)]));
    expect(got).toEqual(wanted);
  });
});

describe('iova-packed', () => {
  test('gives each page the next address, whatever its slot', () => {
    const { device, pages, state } = rig([0, 3]);
    mapStrategy('iova-packed').map(device, state, pages, 4, DMA_BIDIRECTIONAL, true);
    expect([...pages.addr.subarray(0, 2)]).toEqual([state.iova.addr, state.iova.addr + 4096]);
    expect(state.offsetBytes).toBe(8192);
    expect(state.iova.size).toBe(16384);
  });

  test('costs a large folio its large entry when a single page stands in front of it', () => {
    const leaves = (single: boolean): number => {
      const { device, memory, pages, state, count } = rig(single ? [0] : []);
      pages.push(512, memory.allocPages(9), 9);
      mapStrategy('iova-packed').map(device, state, pages, 1024, DMA_BIDIRECTIONAL, true);
      return count('pteW');
    };
    expect(leaves(true) - leaves(false)).toBeGreaterThan(500);
  });

  test('a live state is never overwritten', () => {
    const { device, pages, state } = rig([0]);
    mapStrategy('iova-packed').map(device, state, pages, 1, DMA_BIDIRECTIONAL, true);
    expect(() => mapStrategy('iova-packed').map(device, state, pages, 1, DMA_BIDIRECTIONAL, true)).toThrow(
      /still holds/,
    );
  });

  test('unlinks nothing when the first link failed, and frees the reservation', () => {
    let found = false;
    for (let k = 1; k <= 16 && !found; k++) {
      const { machine, device, pages, state, count } = rig([0, 1]);
      machine.faultInjection.failAnyNth(k);
      const err = mapStrategy('iova-packed').map(device, state, pages, 2, DMA_BIDIRECTIONAL, true);
      machine.faultInjection.reset();
      found = err !== 0 && state.usesIova && state.mapped === 0;
      mapStrategy('iova-packed').unmap(device, state, pages, DMA_BIDIRECTIONAL);
      expect(found ? count('callUnlink') : 0).toBe(0);
      expect(count('iovaFree')).toBe(count('iovaAlloc'));
      expect(machine.warnings).toBe(0);
    }
    expect(found).toBe(true);
  });
});

describe('iova-dummy-fill', () => {
  test('shows under each hole the page in front of it, and the first page under a hole at the start', () => {
    const { device, memory, pages, state } = rig([2, 5]);
    pages.pfn.subarray(0, 2).forEach((pfn, j) => memory.writeTag(pfn, 10 + j));
    mapStrategy('iova-dummy-fill').map(device, state, pages, 8, DMA_BIDIRECTIONAL, true);
    const seen = Array.from({ length: 8 }, (_, slot) => device.readTag(state.iova.addr + slot * 4096));
    expect(seen).toEqual([10, 10, 10, 10, 10, 11, 11, 11]);
    expect(state.filledSlots).toBe(6);
  });
});

describe('iova-holes-one-destroy', () => {
  test('leaves every page behind the first hole visible, warns, and the next owner of the range cannot link', () => {
    const { machine, device, memory, pages, state } = rig([0, 1, 4, 5, 6]);
    const strategy = mapStrategy('iova-holes-one-destroy');
    strategy.map(device, state, pages, 8, DMA_BIDIRECTIONAL, true);
    const stale = pages.addr[2]!;
    memory.writeTag(pages.pfn[2]!, 77);
    strategy.unmap(device, state, pages, DMA_BIDIRECTIONAL);
    expect(device.domain!.mappedPages).toBe(3);
    expect(machine.warnings).toBe(1);
    expect(device.readTag(stale)).toBe(77);
    expect(device.readTag(pages.addr[0]!)).toBe(-1);

    const full = rig([]).pages;
    for (let slot = 0; slot < 8; slot++) full.push(slot, memory.allocPages(0), 0);
    expect(mapStrategy('iova-packed').map(device, state, full, 8, DMA_BIDIRECTIONAL, true)).toBe(-EADDRINUSE);
    mapStrategy('iova-packed').unmap(device, state, full, DMA_BIDIRECTIONAL);
    expect(device.domain!.mappedPages).toBe(3);
  });

  test('goes unnoticed on the page tables before generic_pt, which step over holes', () => {
    const base = KERNEL_PROFILES['linux-7.3'];
    const profile: KernelProfile = { ...base, dma: { ...base.dma, pageTable: 'legacy' } };
    const { machine, device, pages, state } = rig(EVERY_OTHER, 'strict', profile);
    const strategy = mapStrategy('iova-holes-one-destroy');
    strategy.map(device, state, pages, 16, DMA_BIDIRECTIONAL, true);
    strategy.unmap(device, state, pages, DMA_BIDIRECTIONAL);
    expect(device.domain!.mappedPages).toBe(0);
    expect(machine.warnings).toBe(0);
  });
});

test('a kernel without the two-step API maps page by page', () => {
  for (const name of MAP_STRATEGIES) {
    const { device, pages, state, count } = rig(EVERY_OTHER, 'strict', KERNEL_PROFILES['linux-6.12']);
    expect(mapStrategy(name).map(device, state, pages, 16, DMA_BIDIRECTIONAL, true)).toBe(0);
    expect(state.usesIova).toBe(false);
    expect(count('callMap')).toBe(8);
    mapStrategy(name).unmap(device, state, pages, DMA_BIDIRECTIONAL);
    expect(device.domain!.mappedPages).toBe(0);
  }
});
