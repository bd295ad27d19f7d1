import {
  DMA_ATTR_SKIP_CPU_SYNC,
  dmaMapPhys,
  dmaMapSg,
  dmaSyncSgForCpu,
  dmaUnmapPhys,
  dmaUnmapSg,
  ScatterList,
} from '@gpusvm/dma-iova';
import type { Rig } from '../rig.ts';
import { type DriverBug, endOf, type Setting, translated } from './driver-bug.ts';

const P = 4096;

/** Four pages, neighbours in memory, as a list. */
function list(r: Rig): ScatterList {
  const sg = new ScatterList(4);
  const pfn = r.memory.allocPages(2);
  for (let i = 0; i < 4; i++) sg.push((pfn + i) * P, P);
  return sg;
}

/** Segments of a list are mapped together. */
const joined = (at: Setting): boolean => translated(at) && at.device.untrusted !== true;

/** What drivers of the classic API get wrong. */
export const CLASSIC_BUGS: readonly DriverBug[] = [
  {
    what: 'a list is unmapped twice',
    reports: ['I17'],
    says: 'an unmap of a scatter list of 4 segments that is not mapped',
    bad(r) {
      const sg = list(r);
      dmaMapSg(r.dev, sg, 1, 0);
      dmaUnmapSg(r.dev, sg, 1, 0);
      dmaUnmapSg(r.dev, sg, 1, 0);
    },
    good(r) {
      const sg = list(r);
      dmaMapSg(r.dev, sg, 1, 0);
      dmaUnmapSg(r.dev, sg, 1, 0);
    },
  },
  {
    what: 'a list is mapped once more before its unmap',
    reports: ['I27'],
    says: 'a scatter list of 4 segments was never unmapped, but mapped once more',
    where: joined,
    bad(r) {
      const sg = list(r);
      dmaMapSg(r.dev, sg, 1, 0);
      dmaMapSg(r.dev, sg, 1, 0);
      dmaUnmapSg(r.dev, sg, 1, 0);
      endOf(r);
    },
    good(r) {
      const sg = list(r);
      for (let i = 0; i < 2; i++) {
        dmaMapSg(r.dev, sg, 1, 0);
        dmaUnmapSg(r.dev, sg, 1, 0);
      }
    },
  },
  {
    what: 'a list is unmapped with the number of segments that the map returned',
    reports: ['I17'],
    says: '4 segments as 1',
    where: joined,
    bad(r) {
      const sg = list(r);
      sg.count = dmaMapSg(r.dev, sg, 1, 0);
      dmaUnmapSg(r.dev, sg, 1, 0);
    },
    good(r) {
      const sg = list(r);
      dmaMapSg(r.dev, sg, 2, DMA_ATTR_SKIP_CPU_SYNC);
      dmaSyncSgForCpu(r.dev, sg, 2);
      dmaUnmapSg(r.dev, sg, 2, DMA_ATTR_SKIP_CPU_SYNC);
    },
  },
  {
    what: 'a device is given the value of a map that failed',
    reports: ['I26'],
    says: 'a device access to DMA_MAPPING_ERROR',
    where: translated,
    bad(r) {
      r.machine.faultInjection.failNth('iommu.alloc_table', 1);
      r.dev.readTag(dmaMapPhys(r.dev, r.memory.allocPages(0) * P, P, 0, 0));
    },
    good(r) {
      r.machine.faultInjection.failNth('iommu.alloc_table', 1);
      const pfn = r.memory.allocPages(0);
      dmaMapPhys(r.dev, pfn * P, P, 0, 0);
      dmaUnmapPhys(r.dev, dmaMapPhys(r.dev, pfn * P, P, 0, 0), P, 0, 0);
    },
  },
  {
    what: 'a device writes beyond a buffer of half a page',
    reports: ['I16'],
    says: 'in a page of a mapping but outside of its bytes',
    // What bounces reaches a slot of its own.
    where: ({ mode, device }) => mode !== 'swiotlb' && device.untrusted !== true,
    bad(r) {
      const addr = dmaMapPhys(r.dev, r.memory.allocPages(0) * P, 2048, 2, 0);
      r.dev.writeTag(addr + 2048, 1);
    },
    good(r) {
      const pfn = r.memory.allocPages(1);
      const low = dmaMapPhys(r.dev, pfn * P, 2048, 2, 0);
      const high = dmaMapPhys(r.dev, pfn * P + 2048, P, 2, 0);
      for (const addr of [low, low + 2047, high, high + P - 1]) r.dev.writeTag(addr, 1);
      dmaUnmapPhys(r.dev, high, P, 2, 0);
      r.dev.writeTag(low + 2047, 1);
      dmaUnmapPhys(r.dev, low, 2048, 2, 0);
    },
  },
  {
    what: 'one of eight pages is never unmapped',
    reports: ({ mode }) => (mode === 'swiotlb' ? ['I27', 'I19'] : ['I27']),
    says: 'a mapping was never undone',
    bad(r) {
      const pfn = r.memory.allocPages(3);
      const addrs = Array.from({ length: 8 }, (_, i) => dmaMapPhys(r.dev, (pfn + i) * P, P, 1, 0));
      for (const addr of addrs.slice(1)) dmaUnmapPhys(r.dev, addr, P, 1, 0);
      endOf(r);
    },
    good(r) {
      const pfn = r.memory.allocPages(3);
      const addrs = Array.from({ length: 8 }, (_, i) => dmaMapPhys(r.dev, (pfn + i) * P, P, 1, 0));
      for (const addr of addrs) dmaUnmapPhys(r.dev, addr, P, 1, 0);
    },
  },
  {
    what: 'a page is given back when the first of its two mappings ends',
    reports: (at) => (translated(at) ? ['I25', 'I15'] : ['I25']),
    says: 'page frame 1 is freed while it is',
    bad(r) {
      const pfn = r.memory.allocPages(0);
      const addrs = [0, 1].map(() => dmaMapPhys(r.dev, pfn * P, P, 1, 0));
      dmaUnmapPhys(r.dev, addrs[0]!, P, 1, 0);
      r.memory.freePagesBlock(pfn, 0);
    },
    good(r) {
      const pfn = r.memory.allocPages(0);
      const addrs = [0, 1].map(() => dmaMapPhys(r.dev, pfn * P, P, 1, 0));
      for (const addr of addrs) dmaUnmapPhys(r.dev, addr, P, 1, 0);
      r.memory.freePagesBlock(pfn, 0);
    },
  },
];
