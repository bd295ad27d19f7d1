import { ENOMEM, Machine } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import {
  DMA_BIDIRECTIONAL,
  DMA_MAPPING_ERROR,
  dmaAllocCoherent,
  DmaDevice,
  type DmaDeviceOptions,
  dmaIovaDestroy,
  dmaIovaFree,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaIovaUnlinkRuns,
  dmaMapPhys,
  dmaMapSg,
  ScatterList,
  TagMemory,
} from '../src/index.ts';

const PAGE = 4096;
const PFN = 1024;

function setup(options: Partial<DmaDeviceOptions> = {}) {
  const machine = new Machine();
  const memory = new TagMemory(machine, { pages: 4096 });
  const dev = new DmaDevice(machine, memory, { name: 'vm', iommu: 'strict', cachingMode: true, ...options });
  const invalidations = (): number => machine.counters.snapshot().get('dma.iotlbInv')!;
  return { machine, memory, dev, invalidations };
}

describe('a failing iotlb_sync_map', () => {
  it('is what dma_iova_sync returns, and the caller destroys', () => {
    const { machine, dev } = setup();
    const state = new DmaIovaState();
    dmaIovaTryAlloc(dev, state, 0, 4 * PAGE);
    dmaIovaLink(dev, state, PFN * PAGE, 0, 4 * PAGE, DMA_BIDIRECTIONAL, 0);
    machine.faultInjection.failNth('iommu.sync_map', 1);
    expect(dmaIovaSync(dev, state, 0, 4 * PAGE)).toBe(-ENOMEM);
    dmaIovaDestroy(dev, state, 4 * PAGE, DMA_BIDIRECTIONAL, 0);
    expect([dev.domain!.mappedPages, machine.warnings]).toEqual([0, 0]);
  });

  it('takes the whole mapping back in the classic calls', () => {
    const { machine, memory, dev } = setup();
    const fail = (): void => machine.faultInjection.failNth('iommu.sync_map', 1);
    fail();
    expect(dmaMapPhys(dev, PFN * PAGE, 3 * PAGE, DMA_BIDIRECTIONAL, 0)).toBe(DMA_MAPPING_ERROR);
    const sg = new ScatterList(2);
    sg.push(PFN * PAGE, PAGE);
    sg.push((PFN + 5) * PAGE, PAGE);
    fail();
    expect(dmaMapSg(dev, sg, DMA_BIDIRECTIONAL, 0)).toBe(-ENOMEM);
    fail();
    expect(dmaAllocCoherent(dev, 3 * PAGE)).toBeNull();
    expect([dev.domain!.mappedPages, memory.freePages]).toEqual([0, 4095]);
    dev.destroy();
    expect([machine.ledger.live(), machine.warnings]).toEqual([[], 0]);
  });

  it('cannot happen where the IOMMU does not cache absent entries', () => {
    const { machine, dev } = setup({ cachingMode: false });
    machine.faultInjection.failNth('iommu.sync_map', 1);
    expect(dmaMapPhys(dev, PFN * PAGE, PAGE, DMA_BIDIRECTIONAL, 0)).toBeGreaterThan(0);
  });
});

describe('one gather over several runs', () => {
  it('is one invalidation, but on AMD with NpCache one for every run that does not touch the others', () => {
    const counts = (['vtd', 'amdv1', 'amd-legacy'] as const).map((ioPageTable) => {
      const { dev, invalidations } = setup({ ioPageTable });
      const state = new DmaIovaState();
      dmaIovaTryAlloc(dev, state, 0, 64 * PAGE);
      const offsets = Float64Array.from([0, 2, 3, 40], (slot) => slot * PAGE);
      const sizes = Float64Array.from([2, 1, 1, 8], (slots) => slots * PAGE);
      for (let i = 0; i < 4; i++)
        dmaIovaLink(dev, state, (PFN + i * 11) * PAGE, offsets[i]!, sizes[i]!, 0, 0);
      dmaIovaSync(dev, state, 0, 64 * PAGE);
      const before = invalidations();
      dmaIovaUnlinkRuns(dev, state, offsets, sizes, 4, 0, 0);
      expect(dev.domain!.mappedPages).toBe(0);
      dmaIovaFree(dev, state);
      return invalidations() - before;
    });
    expect(counts).toEqual([1, 2, 1]);
  });
});
