import { Machine } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import {
  DMA_ATTR_MMIO,
  DMA_BIDIRECTIONAL,
  DMA_FAULT,
  DmaDevice,
  type DmaDeviceOptions,
  dmaIovaDestroy,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaMapResource,
  dmaUnmapResource,
  PeerMemory,
  TagMemory,
} from '../src/index.ts';

const PAGE = 4096;
const BAR = 2 ** 40;

function setup(options: Partial<DmaDeviceOptions> = {}) {
  const machine = new Machine();
  const memory = new TagMemory(machine, { pages: 1024 });
  const dev = new DmaDevice(machine, memory, { name: 'rdma', iommu: 'strict', ...options });
  const gpu = new PeerMemory({ name: 'gpu', physBytes: BAR, pages: 1024, upstreamBridge: 'sw0' });
  dev.connectPeer(gpu);
  const faults: string[] = [];
  machine.trace.on(DMA_FAULT, (event) => faults.push(event.reason));
  return { machine, memory, dev, gpu, faults };
}

describe('memory behind the BAR of a peer', () => {
  for (const iommu of ['none', 'strict', 'lazy'] as const) {
    it(`is read and written through dma_map_resource, ${iommu}`, () => {
      const { machine, dev, gpu, faults } = setup({ iommu, untrusted: true, coherent: false });
      gpu.writeTag(gpu.pfn + 3, 30);
      const addr = dmaMapResource(dev, BAR + 3 * PAGE, 2 * PAGE, DMA_BIDIRECTIONAL, 0);
      expect(dev.readTag(addr)).toBe(30);
      expect(dev.writeTag(addr + PAGE, 40)).toBe(true);
      expect(gpu.readTag(gpu.pfn + 4)).toBe(40);
      dmaUnmapResource(dev, addr, 2 * PAGE, DMA_BIDIRECTIONAL, 0);
      // A lazy device still has its old translation, one without IOMMU needs none.
      expect([dev.readTag(addr), faults]).toEqual(iommu === 'strict' ? [-1, ['not present']] : [30, []]);
      expect([machine.counters.snapshot().get('dma.cpuSync'), machine.warnings]).toEqual([0, 0]);
    });
  }

  it('is reached through links of several ranges with a large leaf', () => {
    const { machine, dev, gpu } = setup();
    const state = new DmaIovaState();
    dmaIovaTryAlloc(dev, state, 0, 513 * PAGE);
    expect(dmaIovaLink(dev, state, BAR + 512 * PAGE, 0, 512 * PAGE, 0, DMA_ATTR_MMIO)).toBe(0);
    expect(dmaIovaLink(dev, state, BAR + PAGE, 512 * PAGE, PAGE, 0, DMA_ATTR_MMIO)).toBe(0);
    dmaIovaSync(dev, state, 0, 513 * PAGE);
    for (const at of [0, 511, 512]) dev.writeTag(state.addr + at * PAGE, 100 + at);
    expect([512, 1023, 1].map((at) => gpu.readTag(gpu.pfn + at))).toEqual([100, 611, 612]);
    dmaIovaDestroy(dev, state, 513 * PAGE, 0, DMA_ATTR_MMIO);
    expect([dev.domain!.mappedPages, machine.warnings]).toEqual([0, 0]);
  });

  it('ends where the BAR ends: beyond it there is no memory', () => {
    const { dev, faults, gpu } = setup();
    const addr = dmaMapResource(dev, BAR + 1023 * PAGE, 2 * PAGE, DMA_BIDIRECTIONAL, 0);
    expect([dev.writeTag(addr, 1), dev.writeTag(addr + PAGE, 1), faults]).toEqual([
      true,
      false,
      ['no memory'],
    ]);
    expect(() => gpu.readTag(gpu.pfn + 1024)).toThrow('is not in gpu');
    expect(() => gpu.writeTag(1, 1)).toThrow('pfn 1 is not in gpu');
    expect(() => new PeerMemory({ name: 'x', physBytes: 100, pages: 1, upstreamBridge: '' })).toThrow(
      'BAR of x at 100',
    );
  });

  it('is nothing to a device that is not connected to it', () => {
    const { machine, memory, faults } = setup();
    const other = new DmaDevice(machine, memory, { name: 'other', iommu: 'none' });
    expect([other.readTag(BAR), faults]).toEqual([-1, ['no memory']]);
  });
});
