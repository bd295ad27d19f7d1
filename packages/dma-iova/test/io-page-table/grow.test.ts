import { EADDRINUSE, EINVAL, ENOMEM, ENXIO, ERANGE, Machine } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import {
  DmaDevice,
  dmaIovaFree,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaTryAlloc,
  dmaIovaUnlink,
  IO_PAGE_TABLES,
  IotlbGather,
  PagingDomain,
  TagMemory,
} from '../../src/index.ts';

const RW = 3;
/** First page beyond three levels: 2^39 bytes. */
const BEYOND = 2 ** 27;

function setup(levels = 4, name: 'amdv1' | 'amd-legacy' = 'amdv1') {
  const machine = new Machine();
  const domain = new PagingDomain(machine, { name: 'gpu', format: IO_PAGE_TABLES[name], levels });
  const count = (counter: string): number => machine.counters.snapshot().get(`dma.${counter}`)!;
  return { machine, domain, gather: new IotlbGather(), count };
}

for (const name of ['amdv1', 'amd-legacy'] as const) {
  describe(`the top of an AMD page table, ${name}`, () => {
    it('has three levels until something lies beyond them; what was mapped stays mapped', () => {
      const { domain, count } = setup(5, name);
      domain.mapRange(5, 100, 3, RW);
      expect([domain.levels, domain.tables, domain.translate(BEYOND + 5)]).toEqual([3, 2, -1]);
      expect(domain.deviceTranslate(6, RW)).toBe(101);
      expect(domain.mapRange(BEYOND + 5, 200, 1, RW)).toBe(0);
      expect([domain.levels, domain.tables]).toEqual([4, 2 + 1 + 3]);
      expect([5, 7, 8, BEYOND + 5].map((page) => domain.translate(page))).toEqual([100, 102, -1, 200]);
      expect(domain.deviceTranslate(7, RW)).toBe(102);
      expect(domain.mapRange(2 ** 36, 300, 1, RW)).toBe(0);
      expect([domain.levels, domain.translate(2 ** 36), domain.translate(BEYOND + 5)]).toEqual([5, 300, 200]);
      expect([domain.mapRange(BEYOND + 5, 1, 1, RW), domain.mapRange(2 ** 45, 1, 1, RW)]).toEqual([
        -EADDRINUSE,
        -ERANGE,
      ]);
      expect(count('tblAlloc')).toBe(domain.tables);
    });

    it('grows for a range that begins below and ends beyond, and never shrinks', () => {
      const { domain, gather } = setup(4, name);
      expect(domain.mapRange(BEYOND - 512, 2 ** 20, 1024, RW)).toBe(0);
      expect(domain.levels).toBe(4);
      expect(domain.unmapRange(BEYOND - 512, 1024, gather)).toBe(1024);
      domain.sync(gather);
      expect([domain.levels, domain.mappedPages]).toEqual([4, 0]);
      domain.unmapHoles(0, domain.apertureLastPage + 1, gather);
      domain.sync(gather);
      expect([domain.tables, domain.levels]).toEqual([0, 4]);
    });

    it('stays as it was when a table cannot be had, whichever', () => {
      for (const k of [1, 2]) {
        const { machine, domain } = setup(5, name);
        domain.mapRange(5, 100, 1, RW);
        const before = domain.tables;
        machine.faultInjection.failNth('iommu.alloc_table', k);
        expect(domain.mapRange(2 ** 36, 1, 1, RW)).toBe(-ENOMEM);
        expect([domain.levels, domain.tables, domain.translate(5)]).toEqual([3, before, 100]);
        expect(domain.mapRange(2 ** 36, 1, 1, RW)).toBe(0);
        expect(domain.translate(5)).toBe(100);
      }
    });

    it('is a hole for everything that lies beyond it', () => {
      const { domain, gather } = setup(4, name);
      domain.mapRange(BEYOND - 2, 64, 2, RW);
      expect(domain.unmapRange(BEYOND + 7, 1, gather)).toBe(0);
      const { clearedPages, holes, firstHolePage } = domain.unmapHoles(BEYOND - 3, 8, gather);
      expect([clearedPages, holes, firstHolePage]).toEqual([2, 2, BEYOND - 3]);
      domain.sync(gather);
      domain.mapRange(BEYOND - 2, 64, 2, RW);
      // generic_pt refuses what its top does not cover; the legacy driver walks up to it.
      expect(domain.unmapRange(BEYOND - 2, 4, gather)).toBe(name === 'amdv1' ? 0 : 2);
      expect(domain.isCached(BEYOND + 1)).toBe(false);
      expect(domain.deviceTranslate(BEYOND + 1, RW)).toBe(-1);
    });

    it('keeps an emptied table below it pinned, and counts it', () => {
      const { domain, count } = setup(4, name);
      expect(domain.mapRange(BEYOND, 64, 1, RW)).toBe(0);
      expect([domain.tables, count('tblPinned')]).toEqual([4, 1]);
      expect(domain.mapRange(3, 64, 1, RW)).toBe(0);
      expect(count('tblPinned')).toBe(0);
    });
  });
}

describe('granules of Arm that are larger than 4 KiB', () => {
  for (const [name, size] of [
    ['arm-lpae-16k', 16384],
    ['arm-lpae-64k', 65536],
  ] as const) {
    it(`${name}: reservations, links and padding are whole granules`, () => {
      const machine = new Machine();
      const memory = new TagMemory(machine, { pages: 8192 });
      const dev = new DmaDevice(machine, memory, { name: 'soc', iommu: 'strict', ioPageTable: name });
      const pfn = memory.allocPages(10);
      const g = size / 4096;
      expect([dev.granuleBytes, dev.domain!.leafOrders[0]]).toEqual([size, Math.log2(g)]);
      const a = new DmaIovaState();
      const b = new DmaIovaState();
      expect([dmaIovaTryAlloc(dev, a, 0, 4096), dmaIovaTryAlloc(dev, b, 4096 + 5, 3 * size)]).toEqual([
        true,
        true,
      ]);
      // One granule from the top, three and a bit in four below it.
      expect([a.addr, b.addr]).toEqual([2 ** 32 - size, 2 ** 32 - 8 * size + 4096 + 5]);
      const link = (phys: number, offset: number, bytes: number): number =>
        dmaIovaLink(dev, b, pfn * 4096 + phys, offset, bytes, 0, 0);
      expect(link(4096 + 5, 0, size - 4096 - 5)).toBe(0);
      expect(link(size, size - 4096 - 5, 10)).toBe(0);
      expect(dev.domain!.mappedPages).toBe(2 * g);
      expect(dev.translate(b.addr + size - 1, 1)).toBe(pfn + g + 1);
      // At an offset that is not zero the address must begin a granule, on both sides.
      expect([link(2 * size + 4096, 2 * size - 4096 - 5, 1), machine.warnings]).toEqual([-5, 1]);
      expect(link(2 * size, 2 * size, 1)).toBe(-EINVAL);
      dmaIovaUnlink(dev, b, 0, size - 4096 - 5 + 10, 0, 0);
      expect([dev.domain!.mappedPages, machine.warnings]).toEqual([0, 1]);
      dmaIovaFree(dev, a);
      dmaIovaFree(dev, b);
      dev.destroy();
      memory.freePagesBlock(pfn, 10);
      expect(machine.ledger.live()).toEqual([]);
    });
  }

  it('make a page that does not begin one unlinkable, with the errno of their drivers', () => {
    const errnos = (['vtd', 'amdv1', 'vtd-legacy', 'amd-legacy', 'arm-lpae'] as const).map((ioPageTable) => {
      const machine = new Machine();
      const memory = new TagMemory(machine, { pages: 64 });
      const dev = new DmaDevice(machine, memory, { name: 'soc', iommu: 'strict', ioPageTable });
      const state = new DmaIovaState();
      dmaIovaTryAlloc(dev, state, 0, 8192);
      return dmaIovaLink(dev, state, 8 * 4096, 0x800, 4096, 0, 0);
    });
    expect(errnos).toEqual([-ENXIO, -ENXIO, -EINVAL, -EINVAL, -EINVAL]);
  });

  it('count rcache sizes and the 4 GiB limit in granules, and the optimal size in pages', () => {
    const machine = new Machine();
    const memory = new TagMemory(machine, { pages: 64 });
    const dev = new DmaDevice(machine, memory, {
      name: 'soc',
      iommu: 'strict',
      ioPageTable: 'arm-lpae-64k',
      reservedRegions: [{ firstByte: 0xfff00000, lastByte: 0xfff00000 }],
      dmaMaskBits: 40,
    });
    const state = new DmaIovaState();
    dmaIovaTryAlloc(dev, state, 0, 32 * 65536);
    // The reserved byte costs its whole granule.
    expect(state.addr).toBe(0xffc00000);
    dmaIovaFree(dev, state);
    dmaIovaTryAlloc(dev, state, 0, 17 * 65536);
    expect([state.addr, machine.counters.snapshot().get('dma.rcHit')]).toEqual([0xffc00000, 1]);
    dmaIovaTryAlloc(dev, state, 0, 2 ** 32 - 65536);
    expect(state.addr).toBe(2 ** 40 - 2 ** 32);
  });
});
