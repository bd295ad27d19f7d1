import { ENOMEM, ENXIO, Machine, WARN } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import {
  ByteMemory,
  DMA_ATTR_CC_SHARED,
  DMA_ATTR_MMIO,
  DMA_ATTR_NO_WARN,
  DMA_ATTR_REQUIRE_COHERENT,
  DMA_BIDIRECTIONAL,
  DMA_FROM_DEVICE,
  DMA_MAPPING_ERROR,
  DMA_TO_DEVICE,
  DmaDevice,
  type DmaDeviceOptions,
  dmaIovaDestroy,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaTryAlloc,
  dmaIovaUnlink,
  dmaMapPhys,
  dmaMapSg,
  dmaMaxMappingSize,
  dmaOptMappingSize,
  dmaSyncSingleForCpu,
  dmaUnmapPhys,
  dmaUnmapSg,
  ScatterList,
  SWIOTLB_FULL,
} from '../src/index.ts';

const PAGE = 4096;
const BUFFER = 2048 * PAGE;

/** A device as in the guest where these cases were run (tools/vm-harness/vm/bounce.vm.ts): a pool of 1024 slots. */
function setup(o: Partial<DmaDeviceOptions>): {
  machine: Machine;
  memory: ByteMemory;
  dev: DmaDevice;
  sites: string[];
} {
  const machine = new Machine();
  const memory = new ByteMemory(machine, { pages: 8192 });
  memory.claimPages(2048, 9);
  const sites: string[] = [];
  machine.trace.on(WARN, ({ site }) => sites.push(site));
  const dev = new DmaDevice(machine, memory, { name: 'dut', iommu: 'strict', swiotlbPages: 512, ...o });
  return { machine, memory, dev, sites };
}

const untrusted = (o: Partial<DmaDeviceOptions> = {}): ReturnType<typeof setup> =>
  setup({ untrusted: true, ...o });

describe('an untrusted device that does not ask for the offset in a page', () => {
  it('cannot link a head: -ENXIO, and the slot is given back', () => {
    const { dev, sites } = untrusted();
    const state = new DmaIovaState();
    dmaIovaTryAlloc(dev, state, BUFFER + 256, 2 * PAGE);
    expect(dmaIovaLink(dev, state, BUFFER + 256, 0, 512, DMA_BIDIRECTIONAL, 0)).toBe(-ENXIO);
    expect(dmaIovaLink(dev, state, BUFFER + 256, 0, 2 * PAGE, DMA_BIDIRECTIONAL, 0)).toBe(-ENXIO);
    expect([state.swiotlb, dev.swiotlb!.usedSlots, dev.domain!.mappedPages, sites]).toEqual([
      false,
      0,
      0,
      [],
    ]);
  });

  it('links a tail, and maps a part of a page at the beginning of a granule', () => {
    const { dev } = untrusted();
    const state = new DmaIovaState();
    dmaIovaTryAlloc(dev, state, BUFFER, 2 * PAGE);
    expect(dmaIovaLink(dev, state, BUFFER, 0, PAGE + 512, DMA_BIDIRECTIONAL, 0)).toBe(0);
    expect([state.swiotlb, dev.swiotlb!.usedSlots]).toEqual([true, 2]);
    expect(dmaMapPhys(dev, BUFFER + 256, 512, DMA_BIDIRECTIONAL, 0) % PAGE).toBe(0);
    dmaIovaDestroy(dev, state, PAGE + 512, DMA_BIDIRECTIONAL, 0);
    expect(dev.swiotlb!.usedSlots).toBe(2);
  });
});

describe('an alignment mask beyond the granule', () => {
  it('refuses every classic mapping behind an IOMMU, with one warning, and lets scatter lists and links pass', () => {
    const { dev, sites } = setup({ minAlignMask: 8191 });
    for (const phys of [BUFFER, BUFFER + 16])
      expect(dmaMapPhys(dev, phys, PAGE, DMA_BIDIRECTIONAL, 0)).toBe(DMA_MAPPING_ERROR);
    const sg = new ScatterList(1);
    sg.push(BUFFER, PAGE);
    expect(dmaMapSg(dev, sg, DMA_BIDIRECTIONAL, 0)).toBe(1);
    const state = new DmaIovaState();
    dmaIovaTryAlloc(dev, state, BUFFER, PAGE);
    expect(dmaIovaLink(dev, state, BUFFER, 0, PAGE, DMA_BIDIRECTIONAL, 0)).toBe(0);
    expect(sites).toEqual(['__iommu_dma_map: alignment']);
  });

  it('gives the bounce slot of a refused mapping back', () => {
    const { dev } = untrusted({ minAlignMask: 8191 });
    expect(dmaMapPhys(dev, BUFFER + 16, 32, DMA_BIDIRECTIONAL, 0)).toBe(DMA_MAPPING_ERROR);
    expect(dev.swiotlb!.usedSlots).toBe(0);
  });
});

describe('attributes of a bounced device', () => {
  it('let MMIO pass an untrusted device unbounced in the classic calls; REQUIRE_COHERENT fails', () => {
    const { dev } = untrusted();
    const addr = dmaMapPhys(dev, BUFFER + 16, 32, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO);
    expect([addr % PAGE, dev.translate(addr, 1), dev.swiotlb!.usedSlots]).toEqual([16, 2048, 0]);
    dmaUnmapPhys(dev, addr, 32, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO);
    const failed = dmaMapPhys(dev, BUFFER + 16, 32, DMA_BIDIRECTIONAL, DMA_ATTR_REQUIRE_COHERENT);
    expect(failed).toBe(DMA_MAPPING_ERROR);
  });

  it('do not refuse CC_SHARED in the segments of a bounced list, only in single mappings', () => {
    const { dev } = untrusted();
    const sg = new ScatterList(2);
    sg.push(BUFFER + 16, 32);
    sg.push(BUFFER + PAGE, PAGE);
    expect(dmaMapSg(dev, sg, DMA_BIDIRECTIONAL, DMA_ATTR_CC_SHARED)).toBe(2);
    dmaUnmapSg(dev, sg, DMA_BIDIRECTIONAL, DMA_ATTR_CC_SHARED);
    expect([dev.swiotlb!.usedSlots, dev.domain!.mappedPages]).toEqual([0, 0]);
    const alone = dmaMapPhys(dev, BUFFER, PAGE, DMA_BIDIRECTIONAL, DMA_ATTR_CC_SHARED);
    expect(alone).toBe(DMA_MAPPING_ERROR);
  });
});

describe('the size of an unmap or a sync', () => {
  const bytes = (memory: ByteMemory, value: number): number =>
    memory.read(BUFFER, 2 * PAGE).filter((byte) => byte === value).length;

  it('says how much is copied back', () => {
    const { memory, dev, sites } = setup({ iommu: 'swiotlb' });
    const addr = dmaMapPhys(dev, BUFFER, 3000, DMA_FROM_DEVICE, 0);
    memory.write(addr, new Uint8Array(3000).fill(7));
    dmaUnmapPhys(dev, addr, 1000, DMA_FROM_DEVICE, 0);
    expect([bytes(memory, 7), dev.swiotlb!.usedSlots, sites]).toEqual([1000, 0, []]);
  });

  it('is cut at the end of the allocation, with one warning: a device behind an IOMMU has whole granules', () => {
    const direct = setup({ iommu: 'swiotlb' });
    const addr = dmaMapPhys(direct.dev, BUFFER, 512, DMA_FROM_DEVICE, 0);
    direct.memory.write(addr, new Uint8Array(512).fill(7));
    dmaSyncSingleForCpu(direct.dev, addr, 513, DMA_FROM_DEVICE);
    dmaUnmapPhys(direct.dev, addr, PAGE, DMA_FROM_DEVICE, 0);
    expect([bytes(direct.memory, 7), direct.sites]).toEqual([512, ['swiotlb_bounce: overflow']]);
    const { memory, dev, sites } = untrusted();
    const iova = dmaMapPhys(dev, BUFFER, 512, DMA_FROM_DEVICE, 0);
    memory.write(dev.translate(iova, 2) * PAGE, new Uint8Array(PAGE).fill(7));
    dmaSyncSingleForCpu(dev, iova, PAGE, DMA_FROM_DEVICE);
    expect([bytes(memory, 7), sites]).toEqual([PAGE, []]);
  });

  it('of an unlink that begins behind the head makes the record of its slot give back a slot too many, as in the kernel', () => {
    const { memory, dev, sites } = untrusted({ minAlignMask: 4095 });
    const state = new DmaIovaState();
    dmaIovaTryAlloc(dev, state, BUFFER + 256, PAGE);
    dmaIovaLink(dev, state, BUFFER + 256, 0, 512, DMA_BIDIRECTIONAL, 0);
    memory.write(dev.translate(state.addr, 1) * PAGE, new Uint8Array(PAGE).fill(7));
    dmaIovaUnlink(dev, state, 256, 256, DMA_BIDIRECTIONAL, 0);
    expect([bytes(memory, 7), memory.read(BUFFER + 512, 1)[0], dev.swiotlb!.usedSlots]).toEqual([256, 7, -1]);
    dmaIovaUnlink(dev, state, 0, 512, DMA_BIDIRECTIONAL, 0);
    expect(sites).toEqual([
      'iommu_dma_iova_unlink_range_slow: no translation',
      'dma_iova_unlink: unmapped != requested',
    ]);
  });
});

describe('limits', () => {
  it('of an untrusted device hold without a pool too; the optimum never exceeds the maximum', () => {
    const none = untrusted({ swiotlbPages: 0 }).dev;
    expect([dmaMaxMappingSize(none), dmaOptMappingSize(none)]).toEqual([256 * 1024, 128 * 1024]);
    const forced = setup({ iommu: 'swiotlb' }).dev;
    expect([dmaMaxMappingSize(forced), dmaOptMappingSize(forced)]).toEqual([256 * 1024, 256 * 1024]);
  });

  it('of the pool are looked at after the page table has refused what needs no slot', () => {
    const { dev, sites } = untrusted({ swiotlbPages: 0 });
    const state = new DmaIovaState();
    dmaIovaTryAlloc(dev, state, BUFFER + 256, PAGE);
    expect(dmaIovaLink(dev, state, BUFFER, 0, PAGE + 512, DMA_BIDIRECTIONAL, 0)).toBe(-ENXIO);
    expect(sites).toEqual([]);
    expect(dmaIovaLink(dev, state, BUFFER + 256, 0, 512, DMA_BIDIRECTIONAL, 0)).toBe(-ENOMEM);
    expect(sites).toEqual(['iommu_dma_map_swiotlb: inactive']);
  });
});

describe('a full pool', () => {
  it('is traced with what was asked for and what is taken, unless the caller does not want to know', () => {
    const { machine, dev } = untrusted();
    const events: unknown[] = [];
    machine.trace.on(SWIOTLB_FULL, (event) => events.push(event));
    for (let i = 0; i < 8; i++) dmaMapPhys(dev, BUFFER, 64 * PAGE - 16, DMA_TO_DEVICE, 0);
    expect(events).toEqual([]);
    for (const attrs of [0, DMA_ATTR_NO_WARN])
      expect(dmaMapPhys(dev, BUFFER + 16, 32, DMA_TO_DEVICE, attrs)).toBe(DMA_MAPPING_ERROR);
    expect(events).toEqual([{ device: 'dut', sizeBytes: PAGE, totalSlots: 1024, usedSlots: 1024 }]);
  });
});
