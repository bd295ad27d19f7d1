import { Machine } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import {
  DMA_ATTR_ALLOC_SINGLE_PAGES,
  DMA_ATTR_FORCE_CONTIGUOUS,
  dmaAllocCoherent,
  DmaDevice,
  type DmaDeviceOptions,
  dmaFreeCoherent,
  TagMemory,
} from '../src/index.ts';

const PAGE = 4096;

function setup(options: Partial<DmaDeviceOptions> = {}, pages = 4096) {
  const machine = new Machine();
  const memory = new TagMemory(machine, { pages });
  const dev = new DmaDevice(machine, memory, { name: 'nic', iommu: 'strict', ...options });
  return { machine, memory, dev };
}

const KINDS: readonly Partial<DmaDeviceOptions>[] = [
  { iommu: 'none' },
  { iommu: 'none', coherent: false },
  { iommu: 'swiotlb' },
  { iommu: 'strict' },
  { iommu: 'strict', coherent: false },
  { iommu: 'strict', ioPageTable: 'amdv1', cachingMode: true },
  { iommu: 'lazy' },
  { iommu: 'strict', untrusted: true },
];

describe('a coherent allocation', () => {
  for (const options of KINDS) {
    it(`is zero, seen by both sides at once and gone after its free, ${JSON.stringify(options)}`, () => {
      const { machine, memory, dev } = setup(options);
      const stale = memory.allocPages(3);
      memory.writeTag(stale, 77);
      memory.freePagesBlock(stale, 3);
      const buffer = dmaAllocCoherent(dev, 5 * PAGE + 1)!;
      expect([buffer.pages, buffer.sizeBytes]).toEqual([6, 5 * PAGE + 1]);
      for (let i = 0; i < 6; i++) {
        const addr = buffer.dmaAddrBytes + i * PAGE;
        expect([dev.readTag(addr), buffer.readTag(i)]).toEqual([0, 0]);
        buffer.writeTag(i, 10 + i);
        expect(dev.readTag(addr)).toBe(10 + i);
        dev.writeTag(addr, 20 + i);
        expect(buffer.readTag(i)).toBe(20 + i);
      }
      expect(dev.swiotlb === null || dev.swiotlb.live === 0).toBe(true);
      dmaFreeCoherent(dev, buffer);
      dev.destroy();
      expect([machine.ledger.live(), machine.warnings, memory.freePages]).toEqual([[], 0, 4095]);
    });

    it(`that fails at its k-th allocation, for every k, leaves nothing, ${JSON.stringify(options)}`, () => {
      for (let k = 1; k < 40; k++) {
        const { machine, memory, dev } = setup(options);
        machine.faultInjection.failAnyNth(k);
        const buffer = dmaAllocCoherent(dev, 700 * PAGE);
        machine.faultInjection.reset();
        if (buffer !== null) dmaFreeCoherent(dev, buffer);
        dev.destroy();
        expect([machine.ledger.live(), machine.warnings, memory.freePages]).toEqual([[], 0, 4095]);
      }
    });
  }

  it('is made of the largest leaves that memory has, and falls back to smaller ones', () => {
    const { memory, dev } = setup();
    const orders = (attrs: number): number[] => {
      const buffer = dmaAllocCoherent(dev, 515 * PAGE, attrs)!;
      const found = buffer.blocks.map(({ order }) => order);
      dmaFreeCoherent(dev, buffer);
      return found;
    };
    expect(orders(0)).toEqual([9, 0, 0, 0]);
    expect(orders(DMA_ATTR_ALLOC_SINGLE_PAGES).length).toBe(515);
    expect(orders(DMA_ATTR_FORCE_CONTIGUOUS)).toEqual([10]);
    for (let at = 512; at < 4096; at += 512) memory.claimPages(at + 100, 0);
    expect(orders(0).length).toBe(515);
    expect(dmaAllocCoherent(dev, 515 * PAGE, DMA_ATTR_FORCE_CONTIGUOUS)).toBeNull();
  });

  it('stays below the coherent mask, which may be smaller than the streaming one', () => {
    const { dev } = setup({ coherentMaskBits: 24 });
    const buffer = dmaAllocCoherent(dev, PAGE)!;
    expect(buffer.dmaAddrBytes).toBe(2 ** 24 - PAGE);
    dmaFreeCoherent(dev, buffer);
    const direct = setup({ iommu: 'none', coherentMaskBits: 20, dmaMaskBits: 48 });
    direct.memory.claimPages(128, 7);
    expect(dmaAllocCoherent(direct.dev, 128 * PAGE)).toBeNull();
    expect(direct.memory.freePages).toBe(4095 - 128);
    expect(dmaAllocCoherent(direct.dev, 8 * PAGE)!.dmaAddrBytes).toBeLessThan(2 ** 20);
  });

  it('is refused without a coherent mask, with one warning', () => {
    const { machine, dev } = setup({ coherentMaskBits: 0 });
    expect([dmaAllocCoherent(dev, PAGE), dmaAllocCoherent(dev, PAGE)]).toEqual([null, null]);
    expect(machine.warnings).toBe(1);
    expect(() => dmaAllocCoherent(dev, 0)).toThrow('size 0 bytes');
  });

  it('of a lazy domain may be used by the device after its free, until the queue is flushed', () => {
    const { machine, memory, dev } = setup({ iommu: 'lazy' });
    const buffer = dmaAllocCoherent(dev, PAGE)!;
    expect(dev.writeTag(buffer.dmaAddrBytes, 1)).toBe(true);
    dmaFreeCoherent(dev, buffer);
    const victim = memory.allocPages(0);
    expect(victim).toBe(buffer.pfn(0));
    expect([dev.writeTag(buffer.dmaAddrBytes, 666), memory.readTag(victim)]).toEqual([true, 666]);
    machine.clock.advance(20e6);
    expect(dev.writeTag(buffer.dmaAddrBytes, 667)).toBe(false);
  });

  it('of a device that does not snoop is ordinary cached memory again after its free', () => {
    const { memory, dev } = setup({ coherent: false, iommu: 'none' });
    const buffer = dmaAllocCoherent(dev, PAGE)!;
    const pfn = buffer.pfn(0);
    dmaFreeCoherent(dev, buffer);
    expect(memory.allocPages(0)).toBe(pfn);
    memory.writeTag(pfn, 3);
    expect(dev.readTag(pfn * PAGE)).toBe(0);
    expect(() => buffer.pfn(1)).toThrow('page 1 is not in a buffer of 1 pages');
  });
});
