// What is measured, for dma-iova.mjs (wall clock) and instructions.mjs alike. Read by node from dist: build first.
import { Machine } from '@gpusvm/kernel';
import {
  DMA_BIDIRECTIONAL,
  DmaDevice,
  dmaIovaDestroyHoles,
  dmaIovaFree,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaIovaUnlink,
  dmaMapPhys,
  dmaUnmapPhys,
  iovaAllocator,
  IotlbGather,
  TagMemory,
} from '@gpusvm/dma-iova';

const PAGE = 4096;
const RW = 3;
/** IOVA page of the experiments on a bare domain, away from what an allocator hands out. */
const BASE = 0x40000;
/** 512 scattered physical pages. */
const SCATTERED = Float64Array.from({ length: 512 }, (_, i) => 1024 + ((i * 7919) % 65536));
const LIMIT = 2 ** 36 - 1;

function device(iommu, options = {}) {
  const machine = new Machine();
  const memory = new TagMemory(machine, { pages: 1 << 17 });
  return new DmaDevice(machine, memory, { name: iommu, iommu, ...options });
}

/** A domain whose upper tables stay. */
function domain(options) {
  const { domain: made } = device('strict', options);
  made.mapRange(BASE + 1024, 4096, 1, RW);
  return made;
}

function linkAll(dev, state, offset = 0) {
  for (let i = 0; i < 512; i++)
    dmaIovaLink(dev, state, SCATTERED[i] * PAGE, offset + i * PAGE, PAGE, DMA_BIDIRECTIONAL, 0);
}

/** A device and a reservation of some pages. */
function reservation(pages) {
  const dev = device('strict');
  const state = new DmaIovaState();
  dmaIovaTryAlloc(dev, state, 0, pages * PAGE);
  return { dev, state };
}

function singles() {
  const dom = domain();
  const gather = new IotlbGather();
  dom.mapRange(BASE + 300, 4096, 1, RW); // keeps the lowest table live: the warm case
  return () => {
    for (let i = 0; i < 256; i++) dom.mapRange(BASE + i, SCATTERED[i], 1, RW);
    gather.reset(false);
    for (let i = 0; i < 256; i++) dom.unmapRange(BASE + i, 1, gather);
  };
}

/** `n` times a map of a range, its unmap and its invalidation. */
function range(pfn, pages, n, options) {
  const dom = domain(options);
  const gather = new IotlbGather();
  return () => {
    for (let i = 0; i < n; i++) {
      gather.reset(false);
      dom.mapRange(BASE, pfn, pages, RW);
      dom.unmapRange(BASE, pages, gather);
      dom.sync(gather);
    }
  };
}

function fault(end) {
  const dev = device('strict');
  const state = new DmaIovaState();
  return () => {
    dmaIovaTryAlloc(dev, state, 0, 512 * PAGE);
    linkAll(dev, state);
    dmaIovaSync(dev, state, 0, 512 * PAGE);
    end(dev, state);
  };
}

/** Links into a new 2 MiB region every time; what they need of tables is there already. */
function linksOnly() {
  const { dev, state } = reservation(512 * 4100);
  const gather = new IotlbGather();
  const first = state.addr / PAGE;
  for (let i = 0; i < 4100; i++) dev.domain.mapRange(first + i * 512, 4097 + i * 512, 512, RW);
  dev.domain.unmapHoles(first, 512 * 4100, gather);
  dev.domain.sync(gather);
  let at = 0;
  return () => linkAll(dev, state, 512 * PAGE * at++);
}

function classic(iommu, options) {
  const dev = device(iommu, options);
  const addrs = new Float64Array(256);
  return () => {
    for (let i = 0; i < 256; i++) addrs[i] = dmaMapPhys(dev, SCATTERED[i] * PAGE, PAGE, 0, 0);
    for (let i = 0; i < 256; i++) dmaUnmapPhys(dev, addrs[i], PAGE, 0, 0);
  };
}

/** Allocation and free of a length, in a space where every other one of the live ranges was given back. */
function pairs(name, pages, live) {
  const iova = iovaAllocator(name, new Machine());
  const held = Array.from({ length: 2 * live }, () => iova.alloc(33, LIMIT, true, 0));
  for (let i = 0; i < held.length; i += 2) iova.free(held[i], 33, 0);
  return () => {
    for (let i = 0; i < 100; i++) iova.free(iova.alloc(pages, LIMIT, true, 0), pages, 0);
  };
}

function access(iommu, run) {
  const dev = device(iommu);
  const state = new DmaIovaState();
  if (iommu === 'none') return () => run(dev, (i) => SCATTERED[i] * PAGE);
  dmaIovaTryAlloc(dev, state, 0, 512 * PAGE);
  linkAll(dev, state);
  return () => run(dev, (i) => state.addr + i * PAGE);
}

function sizes(live) {
  return [1, 64, 512].map((pages) => [pages, live]);
}

/** Case of the allocators' group. */
function pairCase(name, pages, live) {
  return {
    name: `${name}, ${pages} pages, ${live.toLocaleString('en')} live`,
    ops: 100,
    setup: () => pairs(name, pages, live),
  };
}

export default [
  {
    title: 'domain, 4K pages, warm',
    cases: [{ name: 'map + unmap of one page', ops: 256, setup: singles }],
  },
  {
    title: 'domain, ranges: map + unmap + invalidate',
    unit: 'us',
    cases: [
      { name: '512 x 4K', ops: 8, setup: () => range(4097, 512, 8) },
      { name: 'one 2M leaf', ops: 64, setup: () => range(4096, 512, 64) },
    ],
  },
  {
    title: 'two-step API, 512 scattered pages',
    unit: 'us',
    cases: [
      {
        name: '512 links + one unlink',
        ops: 1,
        setup: () => {
          const { dev, state } = reservation(512);
          return () => {
            linkAll(dev, state);
            dmaIovaUnlink(dev, state, 0, 512 * PAGE, DMA_BIDIRECTIONAL, 0);
          };
        },
      },
      { name: '512 links', ops: 1, runs: [1500, 3000], setup: linksOnly, ratios: false },
      {
        name: 'one unlink of 512 links',
        ops: 1,
        less: '512 links',
        setup: () => {
          const { dev, state } = reservation(512);
          return {
            prepare: () => linkAll(dev, state),
            run: () => dmaIovaUnlink(dev, state, 0, 512 * PAGE, DMA_BIDIRECTIONAL, 0),
          };
        },
      },
      {
        name: 'alloc + 512 links + sync + unlink + free',
        ops: 1,
        setup: () =>
          fault((dev, state) => {
            dmaIovaUnlink(dev, state, 0, 512 * PAGE, DMA_BIDIRECTIONAL, 0);
            dmaIovaFree(dev, state);
          }),
      },
      {
        name: 'alloc + 512 links + sync + destroy with holes',
        ops: 1,
        setup: () => fault((dev, state) => dmaIovaDestroyHoles(dev, state, DMA_BIDIRECTIONAL, 0)),
      },
    ],
  },
  {
    title: 'classic API, dmaMapPhys + dmaUnmapPhys of one page',
    cases: [
      ...['none', 'strict', 'lazy', 'swiotlb'].map((iommu) => ({
        name: iommu,
        ops: 256,
        setup: () => classic(iommu),
      })),
      { name: 'strict, does not snoop', ops: 256, setup: () => classic('strict', { coherent: false }) },
    ],
  },
  {
    title: 'device access, 512 pages in order',
    cases: [
      {
        name: 'readTag through the IOTLB',
        ops: 512,
        setup: () =>
          access('strict', (dev, at) => {
            for (let i = 0; i < 512; i++) dev.readTag(at(i));
          }),
      },
      {
        name: 'writeTag through the IOTLB',
        ops: 512,
        setup: () =>
          access('strict', (dev, at) => {
            for (let i = 0; i < 512; i++) dev.writeTag(at(i), i);
          }),
      },
      {
        name: 'readTag without IOMMU',
        ops: 512,
        setup: () =>
          access('none', (dev, at) => {
            for (let i = 0; i < 512; i++) dev.readTag(at(i));
          }),
      },
    ],
  },
  {
    title: 'IOVA alloc + free',
    cases: [
      ...[...sizes(10), ...sizes(1000), ...sizes(10_000)].map(([pages, live]) =>
        pairCase('linux-rbtree', pages, live),
      ),
      ...[...sizes(10), ...sizes(1000), ...sizes(1_000_000)].map(([pages, live]) =>
        pairCase('segment-tree', pages, live),
      ),
      // Beyond an area, and no power of two.
      ...[777, 5000, 65_536, 100_001].map((pages) => pairCase('segment-tree', pages, 1000)),
    ],
  },
  // Last, because other geometries in the same functions cost the usual one its inlining.
  {
    title: 'other formats, ranges: map + unmap + invalidate',
    unit: 'us',
    cases: [
      { name: '512 x 4K, amdv1', ops: 8, setup: () => range(4097, 512, 8, { ioPageTable: 'amdv1' }) },
      { name: '32 x 64K, Arm', ops: 8, setup: () => range(4096, 512, 8, { ioPageTable: 'arm-lpae-64k' }) },
    ],
  },
];
