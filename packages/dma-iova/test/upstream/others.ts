import { EADDRINUSE, Machine } from '@gpusvm/kernel';
import { expect } from 'vitest';
import {
  DMA_ATTR_MMIO,
  DMA_BIDIRECTIONAL,
  DmaDevice,
  type DmaDeviceOptions,
  dmaIovaDestroy,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaTryAlloc,
  dmaIovaUnlink,
  dmaMapPhys,
  dmaUnmapPhys,
  IOMMU_MAP,
  IOMMU_UNMAP,
  TagMemory,
} from '../../src/index.ts';
import { Random } from '../support/random.ts';
import type { UpstreamRow } from './rows.ts';

const PAGE = 4096;
const PFN = 1024;
const BAR = 2 ** 40;

function device(options: Partial<DmaDeviceOptions> = {}, cpus = 1) {
  const machine = new Machine({ cpus });
  const memory = new TagMemory(machine, { pages: 8192 });
  memory.claimPages(PFN, 10);
  return {
    machine,
    memory,
    dev: new DmaDevice(machine, memory, { name: 'dut', iommu: 'strict', ...options }),
  };
}

export const otherRows: readonly UpstreamRow[] = [
  {
    suite: 'others',
    name: 'dma_map_benchmark',
    title: '4 CPUs map and unmap granules of 1 to 64 pages in every mode, and everything is given back',
    run: () => {
      for (const iommu of ['none', 'strict', 'lazy', 'swiotlb'] as const) {
        for (const pages of [1, 8, 64]) {
          const { machine, memory, dev } = device({ iommu }, 4);
          const addrs: number[] = [];
          for (let round = 0; round < 200; round++) {
            dev.cpu = round % 4;
            addrs.push(dmaMapPhys(dev, PFN * PAGE, pages * PAGE, DMA_BIDIRECTIONAL, 0));
            expect(addrs.at(-1)).toBeGreaterThan(0);
            dev.cpu = (round + 1) % 4;
            if (addrs.length === 4) dmaUnmapPhys(dev, addrs.shift()!, pages * PAGE, DMA_BIDIRECTIONAL, 0);
          }
          for (const addr of addrs) dmaUnmapPhys(dev, addr, pages * PAGE, DMA_BIDIRECTIONAL, 0);
          dev.destroy();
          memory.freePagesBlock(PFN, 10);
          expect([machine.ledger.live(), machine.warnings]).toEqual([[], 0]);
        }
      }
    },
  },
  {
    suite: 'others',
    name: 'iommu.debug_pagealloc',
    title: 'a reference a page, taken and dropped by the trace of maps and unmaps, holes included, ends at 0',
    run: () => {
      const { machine, dev } = device();
      const refs = new Int32Array(2048);
      const pfnAt = new Map<number, number>();
      machine.trace.on(IOMMU_MAP, ({ iovaBytes, physBytes, sizeBytes }) => {
        for (let at = 0; at < sizeBytes; at += PAGE) {
          pfnAt.set(iovaBytes + at, (physBytes + at) / PAGE - PFN);
          refs[(physBytes + at) / PAGE - PFN]!++;
        }
      });
      machine.trace.on(IOMMU_UNMAP, ({ iovaBytes, sizeBytes, unmappedBytes }) => {
        for (let at = 0; at < Math.max(sizeBytes, unmappedBytes); at += PAGE) {
          const pfn = pfnAt.get(iovaBytes + at);
          if (pfn === undefined || dev.domain!.translate((iovaBytes + at) / PAGE) >= 0) continue;
          pfnAt.delete(iovaBytes + at);
          refs[pfn]!--;
        }
      });
      const random = new Random(9);
      const state = new DmaIovaState();
      dmaIovaTryAlloc(dev, state, 0, 512 * PAGE);
      for (let i = 0; i < 500; i++) {
        const [slot, pages] = [random.below(480), 1 + random.below(8)];
        if (random.below(2) === 0) {
          dmaIovaLink(dev, state, (PFN + random.below(500)) * PAGE, slot * PAGE, pages * PAGE, 0, 0);
        } else {
          dmaIovaUnlink(dev, state, slot * PAGE, pages * PAGE, 0, 0);
        }
        const mapped = refs.reduce((sum, n) => sum + n, 0);
        expect([mapped, refs.some((n) => n < 0)]).toEqual([dev.domain!.mappedPages, false]);
      }
      for (let slot = 0; slot < 512; slot++) dmaIovaUnlink(dev, state, slot * PAGE, PAGE, 0, 0);
      expect(refs.every((n) => n === 0)).toBe(true);
    },
  },
  {
    suite: 'others',
    name: 'dma-buf: first-link failure',
    title:
      'an error path that does nothing when the first link fails leaks the reservation, and the ledger says so',
    run: () => {
      const { machine, memory, dev } = device();
      const state = new DmaIovaState();
      dmaIovaTryAlloc(dev, state, 0, 4 * PAGE);
      machine.faultInjection.failNth('iommu.alloc_table', 1);
      expect(dmaIovaLink(dev, state, BAR, 0, 4 * PAGE, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO)).toBeLessThan(0);
      dev.destroy();
      memory.freePagesBlock(PFN, 10);
      expect(machine.ledger.live().map((item) => item.kind)).toEqual(['iova reservation']);
    },
  },
  {
    suite: 'others',
    name: 'dummy over-mapping (RFC v3 05/11)',
    title: 'a long link from one dummy page on exposes the pages behind the dummy to the device',
    run: () => {
      const { memory, dev } = device();
      const dummy = PFN + 10;
      memory.writeTag(dummy + 1, 4711);
      const state = new DmaIovaState();
      dmaIovaTryAlloc(dev, state, 0, 3 * PAGE);
      expect(dmaIovaLink(dev, state, dummy * PAGE, 0, 3 * PAGE, DMA_BIDIRECTIONAL, 0)).toBe(0);
      expect(dev.readTag(state.addr + PAGE)).toBe(4711);
      dmaIovaDestroy(dev, state, 3 * PAGE, DMA_BIDIRECTIONAL, 0);
    },
  },
  {
    suite: 'others',
    name: 'legacy VT-d against generic_pt at a hole',
    title: 'the same destroy is silent and complete on the legacy driver, and warns and leaks on generic_pt',
    run: () => {
      const result = (['vtd-legacy', 'amd-legacy', 'vtd', 'amdv1', 'arm-lpae'] as const).map(
        (ioPageTable) => {
          const { machine, dev } = device({ ioPageTable });
          const state = new DmaIovaState();
          dmaIovaTryAlloc(dev, state, 0, 3 * PAGE);
          for (const slot of [0, 2])
            dmaIovaLink(dev, state, (PFN + 2 * slot) * PAGE, slot * PAGE, PAGE, 0, 0);
          dmaIovaDestroy(dev, state, 3 * PAGE, 0, 0);
          return [machine.warnings, dev.domain!.mappedPages];
        },
      );
      // Arm warns in its page-table code as well.
      expect(result).toEqual([
        [0, 0],
        [0, 0],
        [1, 1],
        [1, 1],
        [2, 1],
      ]);
    },
  },
  {
    suite: 'others',
    name: 'iommu_map_nosync: inverted errno',
    title: 'a map that succeeds is 0 and stays, one that fails is its errno and nothing of it stays',
    run: () => {
      for (const ioPageTable of ['vtd-legacy', 'amd-legacy', 'vtd', 'amdv1'] as const) {
        const { dev } = device({ ioPageTable });
        const { domain } = dev;
        expect([domain!.mapRange(5000, 100, 10, 3), domain!.mappedPages]).toEqual([0, 10]);
        expect([domain!.mapRange(4997, 200, 4, 3), domain!.mappedPages]).toEqual([-EADDRINUSE, 10]);
        expect([4997, 4998, 4999].map((page) => domain!.translate(page))).toEqual([-1, -1, -1]);
      }
    },
  },
];
