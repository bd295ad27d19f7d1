import { Machine } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import {
  DMA_ATTR_SKIP_CPU_SYNC,
  DMA_BIDIRECTIONAL,
  DMA_FROM_DEVICE,
  DMA_TO_DEVICE,
  DmaDevice,
  type DmaDeviceOptions,
  dmaIovaFree,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaIovaUnlink,
  dmaMapPage,
  dmaSyncSingleForCpu,
  dmaSyncSingleForDevice,
  dmaUnmapPage,
  TagMemory,
} from '../src/index.ts';

const PAGE = 4096;
const PFN = 1024;

function setup(options: Partial<DmaDeviceOptions> = {}) {
  const machine = new Machine();
  const memory = new TagMemory(machine, { pages: 8192 });
  memory.claimPages(PFN, 3);
  const dev = new DmaDevice(machine, memory, { name: 'soc', iommu: 'strict', coherent: false, ...options });
  return { machine, memory, dev };
}

for (const iommu of ['none', 'strict', 'lazy'] as const) {
  describe(`the CPU cache and a device that does not snoop, ${iommu}`, () => {
    it('what the CPU wrote before the map is seen, what it writes later is not until a sync', () => {
      const { memory, dev } = setup({ iommu });
      memory.writeTag(PFN, 1);
      const addr = dmaMapPage(dev, PFN, 0, PAGE, DMA_TO_DEVICE, 0);
      expect(dev.readTag(addr)).toBe(1);
      memory.writeTag(PFN, 2);
      expect(dev.readTag(addr)).toBe(1);
      dmaSyncSingleForDevice(dev, addr, PAGE, DMA_TO_DEVICE);
      expect(dev.readTag(addr)).toBe(2);
      dmaUnmapPage(dev, addr, PAGE, DMA_TO_DEVICE, 0);
      expect(memory.readTag(PFN)).toBe(2);
    });

    it('what the device wrote is not seen until a sync or the unmap, and then replaces what the CPU wrote', () => {
      const { memory, dev } = setup({ iommu });
      const addr = dmaMapPage(dev, PFN, 0, PAGE, DMA_FROM_DEVICE, 0);
      dev.writeTag(addr, 10);
      expect(memory.readTag(PFN)).toBe(0);
      dmaSyncSingleForCpu(dev, addr, PAGE, DMA_FROM_DEVICE);
      expect(memory.readTag(PFN)).toBe(10);
      dev.writeTag(addr, 11);
      memory.writeTag(PFN, 99);
      expect(memory.readTag(PFN)).toBe(99);
      dmaUnmapPage(dev, addr, PAGE, DMA_FROM_DEVICE, 0);
      expect(memory.readTag(PFN)).toBe(11);
    });

    it('SKIP_CPU_SYNC leaves both sides with what they had', () => {
      const { memory, dev } = setup({ iommu });
      memory.writeTag(PFN, 4);
      const addr = dmaMapPage(dev, PFN, 0, PAGE, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
      expect(dev.readTag(addr)).toBe(0);
      dev.writeTag(addr, 5);
      dmaUnmapPage(dev, addr, PAGE, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
      expect(memory.readTag(PFN)).toBe(4);
    });

    it('a snooping device on the same memory sees the CPU at once', () => {
      const { machine, memory, dev } = setup({ iommu });
      const other = new DmaDevice(machine, memory, { name: 'pci', iommu: 'none' });
      const addr = dmaMapPage(dev, PFN, 0, PAGE, DMA_BIDIRECTIONAL, 0);
      other.writeTag(PFN * PAGE, 6);
      expect([memory.readTag(PFN), dev.readTag(addr)]).toEqual([6, 0]);
    });
  });
}

describe('links of a device that does not snoop', () => {
  it('clean at link and invalidate at unlink, page by page', () => {
    const { machine, memory, dev } = setup();
    const state = new DmaIovaState();
    dmaIovaTryAlloc(dev, state, 0, 3 * PAGE);
    for (const i of [0, 1, 2]) memory.writeTag(PFN + 2 * i, 20 + i);
    for (const i of [0, 1, 2])
      dmaIovaLink(dev, state, (PFN + 2 * i) * PAGE, i * PAGE, PAGE, DMA_BIDIRECTIONAL, 0);
    dmaIovaSync(dev, state, 0, 3 * PAGE);
    const at = [0, 1, 2].map((i) => state.addr + i * PAGE);
    expect(at.map((addr) => dev.readTag(addr))).toEqual([20, 21, 22]);
    at.forEach((addr, i) => dev.writeTag(addr, 30 + i));
    dmaIovaUnlink(dev, state, PAGE, PAGE, DMA_BIDIRECTIONAL, 0);
    expect([0, 1, 2].map((i) => memory.readTag(PFN + 2 * i))).toEqual([20, 31, 22]);
    dmaIovaUnlink(dev, state, 0, PAGE, DMA_BIDIRECTIONAL, 0);
    dmaIovaUnlink(dev, state, 2 * PAGE, PAGE, DMA_BIDIRECTIONAL, 0);
    dmaIovaFree(dev, state);
    expect([0, 1, 2].map((i) => memory.readTag(PFN + 2 * i))).toEqual([30, 31, 32]);
    expect(machine.warnings).toBe(0);
  });

  it('behind a hole stay dirty, because the slow pass gives up there', () => {
    const { memory, dev } = setup();
    const state = new DmaIovaState();
    dmaIovaTryAlloc(dev, state, 0, 3 * PAGE);
    for (const i of [0, 2]) dmaIovaLink(dev, state, (PFN + i) * PAGE, i * PAGE, PAGE, DMA_BIDIRECTIONAL, 0);
    dmaIovaSync(dev, state, 0, 3 * PAGE);
    for (const i of [0, 2]) dev.writeTag(state.addr + i * PAGE, 40 + i);
    dmaIovaUnlink(dev, state, 0, 3 * PAGE, DMA_BIDIRECTIONAL, 0);
    expect([memory.readTag(PFN), memory.readTag(PFN + 2)]).toEqual([40, 0]);
  });
});

describe('the barrier behind the cache maintenance of a link', () => {
  it('comes with the sync since 7.3, and with the link before', () => {
    for (const [profile, early] of [
      ['linux-7.2', 5],
      ['linux-7.3', 0],
    ] as const) {
      const machine = new Machine({ profile });
      const memory = new TagMemory(machine, { pages: 2048 });
      const dev = new DmaDevice(machine, memory, { name: 'soc', iommu: 'strict', coherent: false });
      memory.claimPages(PFN, 0);
      memory.writeTag(PFN, 5);
      const state = new DmaIovaState();
      dmaIovaTryAlloc(dev, state, 0, PAGE);
      dmaIovaLink(dev, state, PFN * PAGE, 0, PAGE, DMA_BIDIRECTIONAL, 0);
      expect(dev.readTag(state.addr)).toBe(early);
      // Written after the link: not part of what the link has cleaned.
      memory.writeTag(PFN, 6);
      dmaIovaSync(dev, state, 0, PAGE);
      expect(dev.readTag(state.addr)).toBe(5);
    }
  });

  it('is done by any later mapping too', () => {
    const { memory, dev } = setup();
    const state = new DmaIovaState();
    dmaIovaTryAlloc(dev, state, 0, PAGE);
    memory.writeTag(PFN, 5);
    dmaIovaLink(dev, state, PFN * PAGE, 0, PAGE, DMA_BIDIRECTIONAL, 0);
    dmaMapPage(dev, PFN + 1, 0, PAGE, DMA_BIDIRECTIONAL, 0);
    expect(dev.readTag(state.addr)).toBe(5);
  });
});

describe('a bounced page of a device that does not snoop', () => {
  it('goes through slot and cache in the right order, both ways', () => {
    const { machine, memory, dev } = setup({ untrusted: true });
    memory.writeTag(PFN, 7);
    const addr = dmaMapPage(dev, PFN, 0, 100, DMA_BIDIRECTIONAL, 0);
    expect([dev.readTag(addr), dev.swiotlb!.live]).toEqual([7, 1]);
    dev.writeTag(addr, 8);
    expect(memory.readTag(PFN)).toBe(7);
    dmaSyncSingleForCpu(dev, addr, 100, DMA_BIDIRECTIONAL);
    expect(memory.readTag(PFN)).toBe(8);
    dev.writeTag(addr, 9);
    dmaUnmapPage(dev, addr, 100, DMA_BIDIRECTIONAL, 0);
    expect([memory.readTag(PFN), machine.warnings]).toEqual([9, 0]);
  });

  it('is taken for small kmalloc buffers that the device writes, where kmalloc does not align', () => {
    const { dev } = setup({ kmallocAlignBytes: 64 });
    const bounced = (sizeBytes: number, dir: 0 | 1 | 2): boolean => {
      const addr = dmaMapPage(dev, PFN, 0, sizeBytes, dir, 0);
      const { live } = dev.swiotlb!;
      dmaUnmapPage(dev, addr, sizeBytes, dir, 0);
      return live === 1;
    };
    expect([8, 32, 33, 64, 65, 96, 97, 128, 200].map((n) => bounced(n, DMA_FROM_DEVICE))).toEqual([
      true,
      true,
      false,
      false,
      true,
      true,
      false,
      false,
      false,
    ]);
    expect([bounced(8, DMA_TO_DEVICE), bounced(8, DMA_BIDIRECTIONAL)]).toEqual([false, true]);
    expect(setup({ kmallocAlignBytes: 64, coherent: true }).dev.swiotlb).toBeNull();
  });
});
