import {
  DMA_BIDIRECTIONAL,
  dmaIovaDestroy,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaIovaUnlink,
  dmaMapPhys,
  dmaUnmapPhys,
  IotlbGather,
  NO_TAG,
} from '@gpusvm/dma-iova';
import { physicalMemoryContract } from '@gpusvm/dma-iova/contract';
import { EEXIST, ENOMEM } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import { nativeMapContract } from '../src/contract/native-map-contract.ts';
import { seamContract } from '../src/contract/seam-contract.ts';
import { IommufdDomain } from '../src/iommufd-domain.ts';
import { nativeDmaDevice } from '../src/native-dma-device.ts';
import { PinnedArena } from '../src/pinned-arena.ts';
import { SimSys } from '../src/sim/sim-sys.ts';
import { attached } from './sim-device.ts';

describe('PinnedArena', () => {
  test.each(physicalMemoryContract((machine, pages) => new PinnedArena(machine, new SimSys(), { pages })))(
    '$name',
    ({ run }) => expect(run).not.toThrow(),
  );

  test('starts at an address of 2 MiB, and its bytes are those of its tags', () => {
    using t = attached();
    expect((t.arena.memory.address + BigInt(t.arena.offsetOf(0))) % 0x200000n).toBe(0n);
    const pfn = t.arena.allocPages(1);
    t.arena.writeTag(pfn + 1, 12.5);
    expect(new DataView(t.arena.bytes(pfn, 2).slice().buffer).getFloat64(4096, true)).toBe(12.5);
    expect(() => t.arena.bytes(8191, 2)).toThrow('outside of the arena');
    expect(() => t.arena.copy(4096, 8191 * 4096, 8192)).toThrow('beyond the arena');
  });
});

describe.each(['vtd', 'amd', 'mock'] as const)('IommufdDomain over %s', (driver) => {
  const device = driver === 'mock' ? 'mock' : 'edu';
  test.each(seamContract(() => new SimSys({ driver }), device))('$name', ({ run }) =>
    expect(run).not.toThrow(),
  );
});

describe.each(['vtd', 'amd', 'mock'] as const)('the mapping strategies over %s', (driver) => {
  const device = driver === 'mock' ? 'mock' : 'nvme';
  test.each(nativeMapContract(() => new SimSys({ driver }), device))('$name', ({ run }) =>
    expect(run).not.toThrow(),
  );
});

describe('the DMA API on an IOAS', () => {
  test('links, reaches and unlinks, and nothing stays mapped', () => {
    using t = attached();
    const dev = nativeDmaDevice(t.machine, { name: 'edu', ioas: t.ioas, arena: t.arena });
    const pfns = [t.arena.allocPages(0), t.arena.allocPages(3), t.arena.allocPages(0)];
    const state = new DmaIovaState();
    expect(dmaIovaTryAlloc(dev, state, 0, 3 * 4096)).toBe(true);
    for (const [i, pfn] of pfns.entries())
      expect(dmaIovaLink(dev, state, pfn * 4096, i * 4096, 4096, DMA_BIDIRECTIONAL, 0)).toBe(0);
    dmaIovaSync(dev, state, 0, 3 * 4096);
    expect(pfns.map((_, i) => dev.writeTag(state.addr + i * 4096, 70 + i))).toEqual([true, true, true]);
    expect(pfns.map((pfn) => t.arena.readTag(pfn))).toEqual([70, 71, 72]);
    dmaIovaUnlink(dev, state, 4096, 4096, DMA_BIDIRECTIONAL, 0);
    expect(dev.readTag(state.addr + 4096)).toBe(NO_TAG);
    dmaIovaDestroy(dev, state, 3 * 4096, DMA_BIDIRECTIONAL, 0);
    expect([dev.domain!.mappedPages, t.ioas.unmapAll()]).toEqual([0, 0]);
  });

  test('a destroy over a hole unmaps what is behind it and says that it was short', () => {
    using t = attached();
    const dev = nativeDmaDevice(t.machine, { name: 'edu', ioas: t.ioas, arena: t.arena });
    const state = new DmaIovaState();
    dmaIovaTryAlloc(dev, state, 0, 3 * 4096);
    for (const i of [0, 2]) dmaIovaLink(dev, state, (8 + i) * 4096, i * 4096, 4096, DMA_BIDIRECTIONAL, 0);
    dmaIovaDestroy(dev, state, 3 * 4096, DMA_BIDIRECTIONAL, 0);
    expect([dev.domain!.mappedPages, t.machine.warnings]).toEqual([0, 1]);
  });

  test('the classic calls map and unmap a page, at an address outside of the MSI window', () => {
    using t = attached();
    const dev = nativeDmaDevice(t.machine, { name: 'edu', ioas: t.ioas, arena: t.arena, iommu: 'lazy' });
    const pfn = t.arena.allocPages(2);
    const addrs = Array.from({ length: 5000 }, () =>
      dmaMapPhys(dev, pfn * 4096, 4 * 4096, DMA_BIDIRECTIONAL, 0),
    );
    expect(addrs.filter((addr) => addr < 0xfef00000 && addr + 4 * 4096 > 0xfee00000)).toEqual([]);
    expect(dev.writeTag(addrs[4999]! + 4096, 3)).toBe(true);
    expect(t.arena.readTag(pfn + 1)).toBe(3);
    for (const addr of addrs) dmaUnmapPhys(dev, addr, 4 * 4096, DMA_BIDIRECTIONAL, 0);
    // Lazy mode delays the reuse of addresses; the device is cut off at once all the same.
    expect([dev.domain!.mappedPages, dev.writeTag(addrs[0]!, 4)]).toEqual([0, false]);
  });

  test('at the memlock limit a map fails with -ENOMEM, and what was mapped before stays', () => {
    using t = attached({ memlockBytes: 64 * 4096 });
    const domain = new IommufdDomain(t.machine, { name: 'edu', ioas: t.ioas, arena: t.arena });
    expect(domain.mapRange(1000, 1, 60, 3)).toBe(0);
    expect(domain.mapRange(2000, 100, 5, 3)).toBe(-ENOMEM);
    expect(domain.mapRange(1010, 100, 1, 3)).toBe(-EEXIST);
    expect([domain.mappedPages, t.sys.memlock.lockedPages]).toEqual([60, 60]);
    expect(domain.mapRange(2000, 100, 4, 3)).toBe(0);
  });

  test('a foreign mapping inside of the domain is noticed', () => {
    using t = attached();
    const domain = new IommufdDomain(t.machine, { name: 'edu', ioas: t.ioas, arena: t.arena });
    domain.mapRange(1000, 1, 4, 3);
    t.ioas.unmap(1000 * 4096, 4 * 4096);
    expect(() => domain.unmapRange(1000, 4, new IotlbGather())).toThrow(/IOMMU_IOAS_UNMAP.*ENOENT/);
  });
});
