import {
  DMA_ATTR_SKIP_CPU_SYNC,
  dmaIovaDestroy,
  dmaIovaFree,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaIovaUnlink,
  dmaMapPhys,
  dmaMapSg,
  dmaUnmapPhys,
  IOMMU_READ,
  IOMMU_WRITE,
  type IotlbGather,
  ScatterList,
} from '@gpusvm/dma-iova';
import { ENOMEM } from '@gpusvm/kernel';
import type { Rig } from '../rig.ts';
import type { Mutant } from './mutant.ts';
import { domainOf, patch } from './patch.ts';

const P = 4096;
const RW = IOMMU_READ | IOMMU_WRITE;

/** Reserve some pages, link them as one range, sync. */
function life(r: Rig, pages = 4, dir: 0 | 1 | 2 = 0): DmaIovaState {
  const s = new DmaIovaState();
  const pfn = r.memory.allocPages(Math.ceil(Math.log2(pages)) + 1);
  dmaIovaTryAlloc(r.dev, s, 0, pages * P);
  // Not aligned to its length, so that every page is a leaf of its own.
  if (dmaIovaLink(r.dev, s, (pfn + 1) * P, 0, pages * P, dir, 0) === 0) dmaIovaSync(r.dev, s, 0, pages * P);
  return s;
}

function classic(r: Rig, dir: 0 | 1 | 2 = 0): number {
  return dmaMapPhys(r.dev, r.memory.allocPages(0) * P, P, dir, 0);
}

function scattered(r: Rig, pages: number): DmaIovaState {
  const s = new DmaIovaState();
  const pfn = r.memory.allocPages(Math.ceil(Math.log2(pages)));
  dmaIovaTryAlloc(r.dev, s, 0, pages * P);
  for (let i = 0; i < pages; i++) dmaIovaLink(r.dev, s, (pfn + pages - 1 - i) * P, i * P, P, 0, 0);
  dmaIovaSync(r.dev, s, 0, pages * P);
  return s;
}

/** Faults of the layer itself, as live patches on one function of it, under programs that are right. */
export const LAYER_MUTANTS: readonly Mutant[] = [
  {
    what: 'a map that writes one entry less than asked',
    rule: 'I26',
    run(r) {
      patch(
        domainOf(r.dev),
        'mapRange',
        (map) => (page, pfn, pages, prot) => map(page, pfn, pages - 1, prot),
      );
      life(r);
    },
  },
  {
    what: 'a map that writes one entry more than asked',
    rule: 'I16',
    run(r) {
      patch(
        domainOf(r.dev),
        'mapRange',
        (map) => (page, pfn, pages, prot) => map(page, pfn, pages + 1, prot),
      );
      life(r);
    },
  },
  {
    what: 'a map that leads to the next frame',
    rule: 'I16',
    run(r) {
      patch(
        domainOf(r.dev),
        'mapRange',
        (map) => (page, pfn, pages, prot) => map(page, pfn + 1, pages, prot),
      );
      life(r);
    },
  },
  {
    what: 'a map of a single page that leads to the next frame',
    rule: 'I16',
    run(r) {
      patch(
        domainOf(r.dev),
        'mapRange',
        (map) => (page, pfn, pages, prot) => map(page, pfn + 1, pages, prot),
      );
      scattered(r, 1);
    },
  },
  {
    what: 'a map one page too high',
    rule: 'I26',
    run(r) {
      patch(
        domainOf(r.dev),
        'mapRange',
        (map) => (page, pfn, pages, prot) => map(page + 1, pfn, pages, prot),
      );
      life(r);
    },
  },
  {
    what: 'a map that always allows reads and writes',
    rule: 'I18',
    run(r) {
      patch(
        domainOf(r.dev),
        'mapRange',
        (map) => (page, pfn, pages, prot) => map(page, pfn, pages, prot | RW),
      );
      life(r, 4, 1);
    },
  },
  {
    what: 'a map of a single page with the opposite permission',
    rule: 'I18',
    mode: 'lazy',
    run(r) {
      patch(
        domainOf(r.dev),
        'mapRange',
        (map) => (page, pfn, pages, prot) => map(page, pfn, pages, prot ^ RW),
      );
      classic(r, 2);
    },
  },
  {
    what: 'a scatter list mapped with the permission of the other direction',
    rule: 'I18',
    run(r) {
      patch(
        domainOf(r.dev),
        'mapRange',
        (map) => (page, pfn, pages, prot) => map(page, pfn, pages, prot ^ RW),
      );
      const sg = new ScatterList(2);
      const pfn = r.memory.allocPages(1);
      sg.push((pfn + 1) * P, P);
      sg.push(pfn * P, P);
      dmaMapSg(r.dev, sg, 1, 0);
    },
  },
  {
    what: 'a failing link that leaves its first half mapped',
    rule: 'I26',
    run(r) {
      patch(domainOf(r.dev), 'mapRange', (map) => (page, pfn, pages, prot) => {
        map(page, pfn, pages / 2, prot);
        return -ENOMEM;
      });
      life(r);
    },
  },
  {
    what: 'a failing classic map that leaves its entry',
    rule: 'I26',
    run(r) {
      patch(domainOf(r.dev), 'mapRange', (map) => (page, pfn, pages, prot) => {
        map(page, pfn, pages, prot);
        return -ENOMEM;
      });
      classic(r);
    },
  },
  {
    what: 'an unmap one page too high, in full length',
    rule: 'I29',
    run(r) {
      const s = scattered(r, 8);
      patch(domainOf(r.dev), 'unmapRange', (unmap) => (page, pages, g) => unmap(page + 1, pages, g));
      dmaIovaUnlink(r.dev, s, 0, 4 * P, 0, 0);
    },
  },
  {
    what: 'an unmap that clears one page more and does not say so',
    rule: 'I29',
    run(r) {
      const s = scattered(r, 8);
      patch(domainOf(r.dev), 'unmapRange', (unmap) => (page, pages, g) => unmap(page, pages + 1, g) - 1);
      dmaIovaUnlink(r.dev, s, 0, 4 * P, 0, 0);
    },
  },
  {
    what: 'an unmap that does nothing and reports success',
    rule: 'I29',
    run(r) {
      const s = life(r);
      patch(domainOf(r.dev), 'unmapRange', () => (_page, pages) => pages);
      dmaIovaDestroy(r.dev, s, 4 * P, 0, 0);
    },
  },
  {
    what: 'a classic unmap that does nothing and reports success',
    rule: 'I29',
    ends: true,
    run(r) {
      const addr = classic(r);
      patch(domainOf(r.dev), 'unmapRange', () => (_page, pages) => pages);
      dmaUnmapPhys(r.dev, addr, P, 0, 0);
    },
  },
  {
    what: 'an invalidation of half of what was unmapped',
    rule: 'I13',
    run(r) {
      const s = life(r, 8);
      patch(domainOf(r.dev), 'sync', (sync) => (gather: IotlbGather) => {
        gather.endPage -= 4;
        sync(gather);
      });
      dmaIovaDestroy(r.dev, s, 8 * P, 0, 0);
    },
  },
  {
    what: 'an invalidation that begins one page too high',
    rule: 'I13',
    run(r) {
      const s = life(r, 8);
      patch(domainOf(r.dev), 'sync', (sync) => (gather: IotlbGather) => {
        gather.startPage += 4;
        sync(gather);
      });
      dmaIovaUnlink(r.dev, s, 0, 8 * P, 0, 0);
      dmaIovaFree(r.dev, s);
    },
  },
  {
    what: 'a classic unmap in a strict domain that invalidates nothing',
    rule: 'I13',
    run(r) {
      const addr = classic(r);
      patch(domainOf(r.dev), 'sync', () => () => {});
      dmaUnmapPhys(r.dev, addr, P, 0, 0);
      dmaMapPhys(r.dev, r.memory.allocPages(0) * P, P, 0, 0);
    },
  },
  {
    what: 'tables that are freed before their invalidation',
    rule: 'I14',
    run(r) {
      const s = scattered(r, 512);
      patch(domainOf(r.dev), 'sync', (sync) => (gather: IotlbGather) => {
        if (gather.freeHead !== 0) domainOf(r.dev).releaseTables(gather.freeHead);
        gather.freeHead = 0;
        sync(gather);
      });
      dmaIovaDestroy(r.dev, s, 512 * P, 0, 0);
    },
  },
  {
    what: 'a table that a larger leaf replaces, freed without an invalidation of its range',
    rule: 'I14',
    run(r) {
      const s = new DmaIovaState();
      const pfn = r.memory.allocPages(9);
      dmaIovaTryAlloc(r.dev, s, 0, 512 * P);
      dmaIovaLink(r.dev, s, pfn * P, 0, P, 0, 0);
      dmaIovaUnlink(r.dev, s, 0, P, 0, 0);
      patch(domainOf(r.dev), 'sync', (sync) => (gather: IotlbGather) => {
        const tables = gather.freeHead;
        gather.freeHead = 0;
        gather.endPage = gather.startPage + 1;
        sync(gather);
        if (tables !== 0) domainOf(r.dev).releaseTables(tables);
      });
      dmaIovaLink(r.dev, s, pfn * P, 0, 512 * P, 0, 0);
    },
  },
  {
    what: 'a flush queue that gives addresses back without a flush',
    rule: 'I13',
    mode: 'lazy',
    run(r) {
      const addr = classic(r);
      patch(domainOf(r.dev), 'flushAll', () => () => {});
      dmaUnmapPhys(r.dev, addr, P, 0, 0);
      r.machine.clock.advance(20e6);
      classic(r);
    },
  },
  {
    what: 'an address space that is never given back by unmap',
    rule: 'I27',
    ends: true,
    run(r) {
      const addr = classic(r);
      patch(r.dev, 'freeIova', () => () => {});
      dmaUnmapPhys(r.dev, addr, P, 0, 0);
    },
  },
  {
    what: 'an address space that a failing map does not give back',
    rule: 'I27',
    ends: true,
    run(r) {
      patch(r.dev, 'freeIova', () => () => {});
      r.machine.faultInjection.failNth('iommu.alloc_table', 1);
      classic(r);
    },
  },
  {
    what: 'addresses that are given back twice',
    rule: 'I23',
    run(r) {
      patch(r.dev.iova!, 'free', (free) => (page, pages, cpu) => {
        free(page, pages, cpu);
        free(page, pages, cpu);
      });
      dmaUnmapPhys(r.dev, classic(r), P, 0, 0);
      dmaIovaTryAlloc(r.dev, new DmaIovaState(), 0, P);
      dmaIovaTryAlloc(r.dev, new DmaIovaState(), 0, P);
    },
  },
  {
    what: 'an allocator that hands out a range that begins inside another one',
    rule: 'I23',
    run(r) {
      const s = life(r, 8);
      patch(r.dev.iova!, 'alloc', () => () => s.addr / P + 7);
      dmaIovaTryAlloc(r.dev, new DmaIovaState(), 0, 2 * P);
    },
  },
  {
    what: 'an allocator that runs one page into the reserved region',
    rule: 'I22',
    run(r) {
      patch(r.dev.iova!, 'alloc', () => () => 0xfee00 - 3);
      life(r);
    },
  },
  {
    what: 'a direct mapping above the DMA mask that is not refused',
    rule: 'I21',
    mode: 'none',
    device: { dmaMaskBits: 16 },
    run(r) {
      Object.defineProperty(r.dev, 'limitPage', { get: () => 2 ** 40 });
      const pfn = r.memory.allocPages(5);
      dmaMapPhys(r.dev, pfn * P, P, 0, 0);
    },
  },
  {
    what: 'a bounce slot that is not copied back',
    rule: 'I19',
    mode: 'swiotlb',
    run(r) {
      patch(
        r.dev.swiotlb!,
        'unmap',
        (unmap) => (slot, size, dir, attrs) => unmap(slot, size, dir, attrs | DMA_ATTR_SKIP_CPU_SYNC),
      );
      dmaUnmapPhys(r.dev, classic(r, 2), P, 2, 0);
    },
  },
  {
    what: 'a bounced part of a link that is not copied back',
    rule: 'I19',
    device: { untrusted: true },
    run(r) {
      patch(
        r.dev.swiotlb!,
        'unmap',
        (unmap) => (slot, size, dir, attrs) => unmap(slot, size, dir, attrs | DMA_ATTR_SKIP_CPU_SYNC),
      );
      const s = new DmaIovaState();
      dmaIovaTryAlloc(r.dev, s, 0, P);
      dmaIovaLink(r.dev, s, r.memory.allocPages(0) * P, 0, 100, 2, 0);
      dmaIovaSync(r.dev, s, 0, 100);
      dmaIovaDestroy(r.dev, s, 100, 2, 0);
    },
  },
  {
    what: 'a bounce slot that the unmap keeps',
    rule: 'I19',
    mode: 'swiotlb',
    run(r) {
      const addr = classic(r);
      patch(r.dev.swiotlb!, 'unmap', () => () => true);
      dmaUnmapPhys(r.dev, addr, P, 0, 0);
      classic(r);
    },
  },
  {
    what: 'a bounce slot that a failing map keeps',
    rule: 'I19',
    device: { untrusted: true },
    run(r) {
      patch(r.dev.swiotlb!, 'unmap', () => () => true);
      r.machine.faultInjection.failNth('iommu.alloc_table', 1);
      dmaMapPhys(r.dev, r.memory.allocPages(0) * P, 100, 0, 0);
    },
  },
  {
    what: 'a bounce slot that is handed out twice',
    rule: 'I19',
    mode: 'swiotlb',
    run(r) {
      let first = -1;
      patch(r.dev.swiotlb!, 'map', (map) => (...args) => {
        if (first < 0) first = map(...args);
        return first;
      });
      classic(r);
      classic(r);
    },
  },
  {
    what: 'a sync whose error is lost on the way, and the device goes on',
    rule: 'I5',
    run(r) {
      patch(domainOf(r.dev), 'syncMap', () => () => -ENOMEM);
      const s = life(r);
      r.dev.readTag(s.addr);
    },
  },
  {
    what: 'a table chain that an unmap forgets',
    rule: 'I24',
    ends: true,
    run(r) {
      const s = scattered(r, 512);
      patch(domainOf(r.dev), 'sync', (sync) => (gather: IotlbGather) => {
        gather.freeHead = 0;
        sync(gather);
      });
      dmaIovaDestroy(r.dev, s, 512 * P, 0, 0);
    },
  },
];
