import { Machine } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import {
  ByteMemory,
  DMA_ATTR_MMIO,
  DMA_ATTR_NO_WARN,
  DMA_ATTR_REQUIRE_COHERENT,
  DMA_ATTR_SKIP_CPU_SYNC,
  DMA_BIDIRECTIONAL,
  DMA_FROM_DEVICE,
  DMA_MAPPING_ERROR,
  DMA_TO_DEVICE,
  DmaDevice,
  dmaIovaDestroy,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaMapPage,
  dmaSyncSingleForCpu,
  dmaSyncSingleForDevice,
  dmaUnmapPage,
  TagMemory,
} from '../src/index.ts';

const PAGE = 4096;

function forced(swiotlbPages = 1024): { machine: Machine; memory: TagMemory; dev: DmaDevice } {
  const machine = new Machine();
  const memory = new TagMemory(machine, { pages: 8192 });
  return {
    machine,
    memory,
    dev: new DmaDevice(machine, memory, { name: 'usb', iommu: 'swiotlb', swiotlbPages }),
  };
}

describe('forced bouncing', () => {
  it('gives the device a copy: in at map, out at unmap, by direction', () => {
    const { memory, dev } = forced();
    const pfn = memory.allocPages(0);
    memory.writeTag(pfn, 5);
    const seen = [DMA_BIDIRECTIONAL, DMA_TO_DEVICE, DMA_FROM_DEVICE].map((dir, i) => {
      const addr = dmaMapPage(dev, pfn, 0, PAGE, dir, 0);
      expect(addr).not.toBe(pfn * PAGE);
      const read = dev.readTag(addr);
      dev.writeTag(addr, 100 + i);
      const before = memory.readTag(pfn);
      dmaUnmapPage(dev, addr, PAGE, dir, 0);
      return [read, before, memory.readTag(pfn)];
    });
    // FROM_DEVICE is copied in as well, so that what the device does not write comes back as it was.
    expect(seen).toEqual([
      [5, 5, 100],
      [100, 100, 100],
      [100, 100, 102],
    ]);
  });

  it('copies in between on request, in at map whatever the attributes, and not out with SKIP_CPU_SYNC', () => {
    const { memory, dev } = forced();
    const pfn = memory.allocPages(0);
    memory.writeTag(pfn, 1);
    const addr = dmaMapPage(dev, pfn, 0, PAGE, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
    expect(dev.readTag(addr)).toBe(1);
    memory.writeTag(pfn, 9);
    expect(dev.readTag(addr)).toBe(1);
    dmaSyncSingleForDevice(dev, addr, PAGE, DMA_BIDIRECTIONAL);
    expect(dev.readTag(addr)).toBe(9);
    dev.writeTag(addr, 2);
    dmaSyncSingleForCpu(dev, addr, PAGE, DMA_BIDIRECTIONAL);
    expect(memory.readTag(pfn)).toBe(2);
    dev.writeTag(addr, 3);
    dmaUnmapPage(dev, addr, PAGE, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
    expect(memory.readTag(pfn)).toBe(2);
  });

  it('has no two-step API and refuses MMIO and REQUIRE_COHERENT', () => {
    const { dev } = forced();
    expect(dmaIovaTryAlloc(dev, new DmaIovaState(), 0, PAGE)).toBe(false);
    for (const attr of [DMA_ATTR_MMIO, DMA_ATTR_REQUIRE_COHERENT]) {
      expect(dmaMapPage(dev, 5, 0, PAGE, DMA_BIDIRECTIONAL, attr)).toBe(DMA_MAPPING_ERROR);
    }
    expect(dev.swiotlb!.live).toBe(0);
  });

  it('leaks the slot when the unmap claims that nothing was bounced, as dma_direct_unmap_phys does', () => {
    const { dev } = forced();
    const addr = dmaMapPage(dev, 5, 0, PAGE, DMA_BIDIRECTIONAL, 0);
    dmaUnmapPage(dev, addr, PAGE, DMA_BIDIRECTIONAL, DMA_ATTR_REQUIRE_COHERENT);
    expect(dev.swiotlb!.live).toBe(1);
    dmaUnmapPage(dev, addr, PAGE, DMA_BIDIRECTIONAL, 0);
    expect(dev.swiotlb!.live).toBe(0);
  });

  it('warns of an address beyond the mask whatever the attributes, once', () => {
    const machine = new Machine();
    const memory = new TagMemory(machine, { pages: 8192 });
    const dev = new DmaDevice(machine, memory, { name: 'isa', iommu: 'none', dmaMaskBits: 24 });
    for (const warnings of [1, 1]) {
      const addr = dmaMapPage(dev, 4096, 0, PAGE, DMA_BIDIRECTIONAL, DMA_ATTR_NO_WARN);
      expect([addr, machine.warnings]).toEqual([DMA_MAPPING_ERROR, warnings]);
    }
  });

  it('fails when the pool is exhausted, the slot allocation fails or memory has no area, and leaks nothing', () => {
    const { machine, memory, dev } = forced(512);
    const all = Array.from({ length: 8 }, () => dmaMapPage(dev, 4096, 0, 64 * PAGE, DMA_BIDIRECTIONAL, 0));
    expect(all).not.toContain(DMA_MAPPING_ERROR);
    expect(dmaMapPage(dev, 4096, 0, PAGE, DMA_BIDIRECTIONAL, 0)).toBe(DMA_MAPPING_ERROR);
    for (const addr of all) dmaUnmapPage(dev, addr, 64 * PAGE, DMA_BIDIRECTIONAL, 0);
    machine.faultInjection.failNth('swiotlb.map', 1);
    expect(dmaMapPage(dev, 4096, 0, PAGE, DMA_BIDIRECTIONAL, 0)).toBe(DMA_MAPPING_ERROR);
    expect(dev.swiotlb!.live).toBe(0);
    dev.destroy();
    expect(machine.ledger.live()).toEqual([]);
    expect(memory.freePages).toBe(8191);
  });
});

describe('an untrusted device behind an IOMMU', () => {
  function untrusted(): { machine: Machine; memory: ByteMemory; dev: DmaDevice; pfn: number } {
    const machine = new Machine();
    const memory = new ByteMemory(machine, { pages: 4096 });
    const dev = new DmaDevice(machine, memory, {
      name: 'thunderbolt',
      iommu: 'strict',
      untrusted: true,
      minAlignMask: 4095,
    });
    memory.claimPages(2048, 3);
    return { machine, memory, dev, pfn: 2048 };
  }

  it('sees only its own bytes of head and tail pages, and the middle directly', () => {
    const { machine, memory, dev, pfn } = untrusted();
    const start = pfn * PAGE + 4000;
    const size = 96 + 2 * PAGE + 200;
    memory.write(pfn * PAGE, new Uint8Array(4 * PAGE).fill(0xaa));
    memory.write(start, new Uint8Array(size).fill(0x11));
    const state = new DmaIovaState();
    expect(dmaIovaTryAlloc(dev, state, start, size)).toBe(true);
    expect(dmaIovaLink(dev, state, start, 0, size, DMA_BIDIRECTIONAL, 0)).toBe(0);
    dmaIovaSync(dev, state, 0, size);
    expect([state.swiotlb, dev.swiotlb!.live]).toEqual([true, 2]);
    const pages = [0, 1, 2, 3].map((i) => dev.translate(Math.floor(state.addr / PAGE) * PAGE + i * PAGE, 1));
    expect(pages.slice(1, 3)).toEqual([pfn + 1, pfn + 2]);
    const head = memory.read(pages[0]! * PAGE, PAGE);
    const tail = memory.read(pages[3]! * PAGE, PAGE);
    expect([head[3999], head[4000], tail[199], tail[200]]).toEqual([0, 0x11, 0x11, 0]);
    memory.write(pages[3]! * PAGE, new Uint8Array(PAGE).fill(0x55));
    dmaIovaDestroy(dev, state, size, DMA_BIDIRECTIONAL, 0);
    expect([...memory.read((pfn + 3) * PAGE + 199, 2)]).toEqual([0x55, 0xaa]);
    dev.destroy();
    memory.freePagesBlock(pfn, 3);
    expect([machine.ledger.live(), machine.warnings]).toEqual([[], 0]);
  });

  it('undoes a bounced link at whichever step it fails', () => {
    for (let k = 1; k <= 8; k++) {
      const { machine, dev, pfn } = untrusted();
      const state = new DmaIovaState();
      const size = 96 + PAGE + 200;
      dmaIovaTryAlloc(dev, state, 4000, size);
      machine.faultInjection.failAnyNth(k);
      const err = dmaIovaLink(dev, state, pfn * PAGE + 4000, 0, size, DMA_BIDIRECTIONAL, 0);
      machine.faultInjection.reset();
      if (err === 0) dmaIovaDestroy(dev, state, size, DMA_BIDIRECTIONAL, 0);
      expect([dev.domain!.mappedPages, dev.swiotlb!.live, machine.warnings]).toEqual([0, 0, 0]);
      if (err === 0) return;
    }
    expect.unreachable('the link never succeeded');
  });
});
