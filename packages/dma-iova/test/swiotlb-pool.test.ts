import { ENOMEM, Machine } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import {
  ByteMemory,
  DMA_BIDIRECTIONAL,
  DMA_FROM_DEVICE,
  DMA_MAPPING_ERROR,
  DMA_TO_DEVICE,
  DmaDevice,
  type DmaDeviceOptions,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaTryAlloc,
  dmaMapPhys,
  dmaMaxMappingSize,
  dmaSyncSingleForCpu,
  dmaUnmapPhys,
  maxBounceBytes,
} from '../src/index.ts';
import { SwiotlbPool } from '../src/swiotlb-pool.ts';

const PAGE = 4096;
const BUFFER = 2048 * PAGE;

function forced(options: Partial<DmaDeviceOptions> = {}) {
  const machine = new Machine();
  const memory = new ByteMemory(machine, { pages: 8192 });
  memory.claimPages(2048, 9);
  return {
    machine,
    memory,
    dev: new DmaDevice(machine, memory, { name: 'usb', iommu: 'swiotlb', ...options }),
  };
}

describe('slots of 2 KiB', () => {
  it('hold up to 256 KiB: one byte more cannot be bounced, however much room there is', () => {
    const { dev } = forced();
    const most = dmaMapPhys(dev, BUFFER, 256 * 1024, DMA_BIDIRECTIONAL, 0);
    expect(most).not.toBe(DMA_MAPPING_ERROR);
    expect(dmaMapPhys(dev, BUFFER, 256 * 1024 + 1, DMA_BIDIRECTIONAL, 0)).toBe(DMA_MAPPING_ERROR);
    expect([dev.swiotlb!.live, dmaMaxMappingSize(dev)]).toEqual([1, 256 * 1024]);
  });

  it('give small mappings half a page each, and pages to what needs a page', () => {
    const { dev } = forced();
    const map = (phys: number, size: number): number => dmaMapPhys(dev, phys, size, DMA_TO_DEVICE, 0);
    const first = map(BUFFER + 100, 10);
    expect([map(BUFFER + 3000, 2048) - first, map(BUFFER, 2049) - first]).toEqual([2048, 4096]);
    // Without an alignment mask the offset in the page is lost; from a page on, slots begin at a page.
    expect([first % PAGE, map(BUFFER + 5, 1) % PAGE, map(BUFFER + 7, PAGE) % PAGE]).toEqual([0, 0, 0]);
  });

  it('keep the offset bits that the device asks for, at the price of the longest mapping', () => {
    const { dev } = forced({ minAlignMask: 4095 });
    for (const offset of [0, 1, 100, 2048, 3000, 4095]) {
      const addr = dmaMapPhys(dev, BUFFER + offset, 5000, DMA_TO_DEVICE, 0);
      expect(addr % PAGE).toBe(offset);
      dmaUnmapPhys(dev, addr, 5000, DMA_TO_DEVICE, 0);
    }
    expect(dmaMaxMappingSize(dev)).toBe(252 * 1024);
    expect([0, 1, 511, 2048, 4095].map((mask) => maxBounceBytes(mask))).toEqual(
      [256, 254, 254, 254, 252].map((k) => k * 1024),
    );
    const size = 252 * 1024;
    const addrs = [0, 4095].map((offset) => dmaMapPhys(dev, BUFFER + offset, size, DMA_TO_DEVICE, 0));
    expect(addrs).not.toContain(DMA_MAPPING_ERROR);
    expect(dev.swiotlb!.live).toBe(2);
  });

  it('are whole granules, cleared beside the range, behind an IOMMU', () => {
    const { machine, memory, dev } = forced({ iommu: 'strict', untrusted: true, minAlignMask: 4095 });
    memory.write(BUFFER, new Uint8Array(PAGE).fill(0xaa));
    const pages = [100, 3000, 4000].map((offset) => {
      const addr = dmaMapPhys(dev, BUFFER + offset, 60, DMA_BIDIRECTIONAL, 0);
      return [addr % PAGE, dev.translate(addr, 1)] as const;
    });
    expect(pages.map(([offset]) => offset)).toEqual([100, 3000, 4000]);
    expect(new Set(pages.map(([, pfn]) => pfn)).size).toBe(3);
    const slot = memory.read(pages[1]![1] * PAGE, PAGE);
    expect(slot.indexOf(0xaa)).toBe(3000);
    expect(slot.filter((byte) => byte === 0xaa).length).toBe(60);
    // A slot that somebody used before is cleared too.
    const addr = dmaMapPhys(dev, BUFFER + 8, 4000, DMA_BIDIRECTIONAL, 0);
    const reused = dev.translate(addr, 1) * PAGE;
    dmaUnmapPhys(dev, addr, 4000, DMA_BIDIRECTIONAL, 0);
    memory.write(reused, new Uint8Array(PAGE).fill(0x55));
    const again = Array.from({ length: 512 }, () => dmaMapPhys(dev, BUFFER, 4, DMA_BIDIRECTIONAL, 0));
    const at = again.map((a) => dev.translate(a, 1) * PAGE).indexOf(reused);
    expect(at).toBeGreaterThanOrEqual(0);
    expect(memory.read(reused, PAGE).includes(0x55)).toBe(false);
    expect(machine.warnings).toBe(0);
  });

  it('copy exactly the bytes of a partial sync', () => {
    const { memory, dev } = forced();
    const addr = dmaMapPhys(dev, BUFFER, 6000, DMA_FROM_DEVICE, 0);
    memory.write(addr, new Uint8Array(6000).fill(7));
    dmaSyncSingleForCpu(dev, addr + 5000, 100, DMA_FROM_DEVICE);
    const got = memory.read(BUFFER, 6000);
    expect([got.indexOf(7), got.lastIndexOf(7)]).toEqual([5000, 5099]);
    dmaSyncSingleForCpu(dev, addr + 5990, 5000, DMA_FROM_DEVICE);
    expect([memory.read(BUFFER + 5990, 20).lastIndexOf(7), dev.swiotlb!.sync(3 * PAGE, 1, true)]).toEqual([
      9,
      false,
    ]);
    dmaUnmapPhys(dev, addr, 6000, DMA_FROM_DEVICE, 0);
    expect(memory.read(BUFFER, 6000).every((byte) => byte === 7)).toBe(true);
  });
});

describe('a device without IOMMU that has a pool', () => {
  it('bounces what its mask does not reach, and warns only when it has none', () => {
    const { machine, memory, dev } = forced({ iommu: 'none', dmaMaskBits: 22, swiotlbPages: 512 });
    memory.write(BUFFER, Uint8Array.of(1, 2, 3));
    expect(dmaMapPhys(dev, PAGE, 3, DMA_BIDIRECTIONAL, 0)).toBe(PAGE);
    const addr = dmaMapPhys(dev, BUFFER, 3, DMA_BIDIRECTIONAL, 0);
    expect([addr < 2 ** 22, [...memory.read(addr, 3)], machine.warnings]).toEqual([true, [1, 2, 3], 0]);
    const none = forced({ iommu: 'none', dmaMaskBits: 22, swiotlbPages: 0 });
    expect(dmaMapPhys(none.dev, BUFFER, 3, DMA_BIDIRECTIONAL, 0)).toBe(DMA_MAPPING_ERROR);
    expect([none.machine.warnings, dmaMaxMappingSize(none.dev)]).toEqual([1, Number.POSITIVE_INFINITY]);
  });

  it('fails when its pool itself is out of reach', () => {
    const { machine, memory, dev } = forced({ iommu: 'none', dmaMaskBits: 22, swiotlbPages: 512 });
    memory.claimPages(512, 9);
    memory.claimPages(1, 0);
    memory.claimPages(256, 8);
    expect(dmaMapPhys(dev, BUFFER, 3, DMA_BIDIRECTIONAL, 0)).toBe(DMA_MAPPING_ERROR);
    expect([machine.warnings, dev.swiotlb!.live]).toEqual([1, 0]);
  });
});

describe('an inactive pool', () => {
  it('fails every bounce: forced, and behind an IOMMU', () => {
    const direct = forced({ swiotlbPages: 0 });
    expect(dmaMapPhys(direct.dev, BUFFER, 3, DMA_BIDIRECTIONAL, 0)).toBe(DMA_MAPPING_ERROR);
    const { machine, dev } = forced({ iommu: 'strict', untrusted: true, swiotlbPages: 0 });
    expect(dmaMapPhys(dev, BUFFER, 3, DMA_BIDIRECTIONAL, 0)).toBe(DMA_MAPPING_ERROR);
    const state = new DmaIovaState();
    dmaIovaTryAlloc(dev, state, 0, PAGE);
    expect(dmaIovaLink(dev, state, BUFFER, 0, 3, DMA_BIDIRECTIONAL, 0)).toBe(-ENOMEM);
    expect(machine.warnings).toBe(1);
    expect(dmaMapPhys(dev, BUFFER, PAGE, DMA_BIDIRECTIONAL, 0)).not.toBe(DMA_MAPPING_ERROR);
  });
});

describe('the slots of a pool', () => {
  it('agree with a bitmap, whatever is taken and freed (30,000 operations)', () => {
    let state = 12345;
    const below = (n: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * n);
    };
    const pool = new SwiotlbPool(1024, 8);
    const used = new Uint8Array(pool.slots);
    const held: { slot: number; count: number }[] = [];
    for (let step = 0; step < 30_000; step++) {
      if (held.length > 0 && below(100) < 48) {
        const [gone] = held.splice(below(held.length), 1);
        pool.release(pool.addressOf(gone!.slot), 0);
        used.fill(0, gone!.slot, gone!.slot + gone!.count);
        continue;
      }
      const count = 1 + below(below(3) === 0 ? 128 : 5);
      const align = [0, 2047, 4095, 16383][below(4)]!;
      const slot = pool.take(count * 2048, 0, {
        allocAlignMask: align,
        minAlignMask: 0,
        boundaryBytes: 2 ** 32,
      });
      const fits = Array.from({ length: pool.slots }, (_, at) => at).filter(
        (at) =>
          (pool.addressOf(at) & (align === 0 && count > 1 ? 4095 : align)) === 0 &&
          Math.floor(at / 128) === Math.floor((at + count - 1) / 128) &&
          used.subarray(at, at + count).every((bit) => bit === 0),
      );
      if (slot < 0 ? fits.length !== 0 : !fits.includes(slot)) {
        throw new Error(`step ${step}: ${count} slots at ${slot}, possible ${fits.join(' ')}`);
      }
      if (slot < 0) continue;
      used.fill(1, slot, slot + count);
      held.push({ slot, count });
    }
    expect(held.length).toBeGreaterThan(0);
  });
});
