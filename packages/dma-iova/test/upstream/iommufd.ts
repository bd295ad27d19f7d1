import { EADDRINUSE, Machine } from '@gpusvm/kernel';
import { expect } from 'vitest';
import {
  DMA_BIDIRECTIONAL,
  DmaDevice,
  dmaIovaDestroyHoles,
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
import type { UpstreamRow } from './rows.ts';

const PAGE = 4096;
const RW = 3;

function domain(name: keyof typeof IO_PAGE_TABLES = 'vtd'): PagingDomain {
  return new PagingDomain(new Machine(), { name: 'dut', format: IO_PAGE_TABLES[name] });
}

function device(options: Partial<ConstructorParameters<typeof DmaDevice>[2]> = {}) {
  const machine = new Machine();
  const memory = new TagMemory(machine, { pages: 4096 });
  memory.claimPages(1024, 10);
  return {
    machine,
    memory,
    dev: new DmaDevice(machine, memory, { name: 'dut', iommu: 'strict', ...options }),
  };
}

export const iommufdRows: readonly UpstreamRow[] = [
  {
    suite: 'iommufd',
    name: 'area',
    title: 'unmap of nothing, overmap, unmap of everything twice',
    run: () => {
      const d = domain();
      const gather = new IotlbGather();
      expect(d.unmapRange(100, 10, gather)).toBe(0);
      for (let i = 0; i < 10; i++) expect(d.mapRange(100 + i, 5 + i, 1, RW)).toBe(0);
      for (let i = 0; i < 10; i++) expect(d.mapRange(100 + i, 1, 1, RW)).toBe(-EADDRINUSE);
      expect(d.unmapHoles(0, d.apertureLastPage + 1, gather).clearedPages).toBe(10);
      expect(d.unmapHoles(0, d.apertureLastPage + 1, gather).clearedPages).toBe(0);
      d.sync(gather);
      expect(d.tables).toBe(0);
    },
  },
  {
    suite: 'iommufd',
    name: 'unmap_fully_contained_areas',
    title: 'holes between mappings are fine for the tolerant unmap; what reaches beyond the range stays',
    run: () => {
      const d = domain();
      const gather = new IotlbGather();
      d.mapRange(512, 512, 512, RW);
      for (let i = 0; i < 5; i++) d.mapRange(2000 + 10 * i, 7 + 3 * i, 2, RW);
      expect(d.unmapHoles(600, 1000, gather).clearedPages).toBe(0);
      expect(d.unmapHoles(1995, 100, gather).clearedPages).toBe(10);
      expect(d.unmapHoles(512, 512, gather).clearedPages).toBe(512);
      expect(d.mappedPages).toBe(0);
    },
  },
  {
    suite: 'iommufd',
    name: 'area_auto_iova',
    title: 'addresses of the allocator are aligned and avoid what is reserved, page by page',
    run: () => {
      const reserved = { firstByte: 0xffe00000, lastByte: 0xffefffff };
      const { dev } = device({ reservedRegions: [reserved] });
      for (let pages = 1; pages <= 300; pages++) {
        const state = new DmaIovaState();
        dmaIovaTryAlloc(dev, state, 0, pages * PAGE);
        const end = state.addr + pages * PAGE - 1;
        expect(state.addr % (2 ** Math.ceil(Math.log2(pages)) * PAGE)).toBe(0);
        expect(end < reserved.firstByte || state.addr > reserved.lastByte).toBe(true);
      }
    },
  },
  {
    suite: 'iommufd',
    name: 'iova_alloc',
    title:
      'every length from one byte on, at several offsets, covers what was asked and not a page more than needed',
    run: () => {
      const { machine, memory, dev } = device();
      for (let bytes = 1; bytes < 3 * PAGE; bytes += 117) {
        for (const offset of [0, 1, 2048, 4095]) {
          const state = new DmaIovaState();
          dmaIovaTryAlloc(dev, state, offset, bytes);
          expect(state.addr % PAGE).toBe(offset);
          expect(dmaIovaLink(dev, state, 1024 * PAGE + offset, 0, bytes, DMA_BIDIRECTIONAL, 0)).toBe(0);
          expect(dev.domain!.mappedPages).toBe(Math.floor((offset + bytes - 1) / PAGE) + 1);
          dmaIovaUnlink(dev, state, 0, bytes, DMA_BIDIRECTIONAL, 0);
          dmaIovaFree(dev, state);
        }
      }
      dev.destroy();
      memory.freePagesBlock(1024, 10);
      expect([machine.ledger.live(), machine.warnings]).toEqual([[], 0]);
    },
  },
  {
    suite: 'iommufd',
    name: 'align_change',
    title: 'a larger granule moves the same mapping to its own alignment',
    run: () => {
      const addrs = (['vtd', 'arm-lpae-16k', 'arm-lpae-64k'] as const).map((ioPageTable) => {
        const state = new DmaIovaState();
        dmaIovaTryAlloc(device({ ioPageTable }).dev, state, 100, 4 * PAGE);
        return state.addr;
      });
      expect(addrs).toEqual([0xffff8064, 0xffff8064, 0xffff0064]);
    },
  },
  {
    suite: 'iommufd',
    name: 'mock_domain all_aligns',
    title: 'every start and end inside two tables: exactly those pages are mapped, and all of them go',
    run: () => {
      for (const name of ['vtd', 'amdv1', 'arm-lpae'] as const) {
        const d = domain(name);
        const gather = new IotlbGather();
        for (let first = 505; first < 520; first++) {
          for (let pages = 1; first + pages < 1035; pages += pages < 20 ? 1 : 37) {
            expect(d.mapRange(first, 4096 + first, pages, RW)).toBe(0);
            const seen: number[] = [];
            d.forEachLeaf((page, pfn, n) => {
              expect(pfn).toBe(4096 + page);
              seen.push(page, n);
            });
            const total = seen.filter((_, i) => i % 2 === 1).reduce((sum, n) => sum + n, 0);
            expect([seen[0], total, d.mappedPages]).toEqual([first, pages, pages]);
            expect(d.unmapRange(first, pages, gather)).toBe(pages);
            d.sync(gather);
            expect(d.mappedPages).toBe(0);
          }
        }
      }
    },
  },
  {
    suite: 'iommufd',
    name: 'area_destroy, ioas_destroy',
    title: 'a device that goes with mappings alive reports them, and its tables go',
    run: () => {
      const { machine, memory, dev } = device();
      const state = new DmaIovaState();
      dmaIovaTryAlloc(dev, state, 0, 4 * PAGE);
      dmaIovaLink(dev, state, 1024 * PAGE, PAGE, PAGE, DMA_BIDIRECTIONAL, 0);
      dev.destroy();
      memory.freePagesBlock(1024, 10);
      expect(machine.ledger.live().map((item) => `${item.count} ${item.kind}`)).toEqual([
        '1 io page table leaf',
        '1 iova reservation',
      ]);
      expect(dev.domain!.tables).toBe(0);
    },
  },
  {
    suite: 'iommufd',
    name: 'replace, hwpt_attach',
    title: 'two devices of one memory have domains of their own: unmapping in one leaves the other',
    run: () => {
      const { machine, memory, dev } = device();
      const other = new DmaDevice(machine, memory, { name: 'other', iommu: 'strict', ioPageTable: 'amdv1' });
      const [a, b] = [new DmaIovaState(), new DmaIovaState()];
      for (const [d, state] of [
        [dev, a],
        [other, b],
      ] as const) {
        dmaIovaTryAlloc(d, state, 0, 2 * PAGE);
        dmaIovaLink(d, state, 1024 * PAGE, 0, 2 * PAGE, DMA_BIDIRECTIONAL, 0);
      }
      expect(a.addr).toBe(b.addr);
      dmaIovaDestroyHoles(dev, a, DMA_BIDIRECTIONAL, 0);
      expect([dev.writeTag(a.addr, 1), other.writeTag(b.addr, 2), memory.readTag(1024)]).toEqual([
        false,
        true,
        2,
      ]);
    },
  },
];
