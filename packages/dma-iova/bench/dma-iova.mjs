// Run with plain node against dist: node bench/dma-iova.mjs [seconds per group]
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
import { compare, print } from './harness.mjs';

const seconds = Number(process.argv[2] ?? 1);
const machine = new Machine();
const memory = new TagMemory(machine, { pages: 1 << 17 });
const strict = new DmaDevice(machine, memory, { name: 'strict', iommu: 'strict' });
const lazy = new DmaDevice(machine, memory, { name: 'lazy', iommu: 'lazy' });
const none = new DmaDevice(machine, memory, { name: 'none', iommu: 'none' });
const bounce = new DmaDevice(machine, memory, { name: 'swiotlb', iommu: 'swiotlb' });

/** 512 scattered physical pages. */
const scattered = Float64Array.from({ length: 512 }, (_, i) => 1024 + ((i * 7919) % 65536));
const domain = strict.domain;
const gather = new IotlbGather();
const BASE = 0x40000; // IOVA page of the experiments below, away from what the allocator hands out
domain.mapRange(BASE + 1024, 4096, 1, 3); // keeps the tables above

function single() {
  for (let i = 0; i < 256; i++) domain.mapRange(BASE + i, scattered[i], 1, 3);
}
function singleBack() {
  gather.reset(false);
  for (let i = 0; i < 256; i++) domain.unmapRange(BASE + i, 1, gather);
}
domain.mapRange(BASE + 300, 4096, 1, 3); // keeps the lowest table live: the warm case
print(
  'domain, 4K, warm (a pair is both halves)',
  compare([{ name: 'map + unmap of one page', ops: 256, run: () => (single(), singleBack()) }], seconds),
);
domain.unmapRange(BASE + 300, 1, gather);
domain.sync(gather);

function repeat(n, pfn) {
  for (let i = 0; i < n; i++) {
    gather.reset(false);
    domain.mapRange(BASE, pfn, 512, 3);
    domain.unmapRange(BASE, 512, gather);
    domain.sync(gather);
  }
}
print(
  'domain, ranges',
  compare(
    [
      {
        name: '512 x 4K range, map + unmap + sync',
        ops: 8,
        run: () => repeat(8, 4097),
      },
      {
        name: 'one 2M leaf, map + unmap + sync',
        ops: 64,
        run: () => repeat(64, 4096),
      },
    ],
    seconds,
  ),
  'us',
);

const state = new DmaIovaState();
const state2 = new DmaIovaState();
dmaIovaTryAlloc(strict, state, 0, 512 * 4096);
function linkAll(dev, s) {
  for (let i = 0; i < 512; i++)
    dmaIovaLink(dev, s, scattered[i] * 4096, i * 4096, 4096, DMA_BIDIRECTIONAL, 0);
}
print(
  'two-step API, 512 scattered pages',
  compare(
    [
      {
        name: '512 links + one unlink',
        ops: 1,
        run: () => {
          linkAll(strict, state);
          dmaIovaUnlink(strict, state, 0, 512 * 4096, DMA_BIDIRECTIONAL, 0);
        },
      },
      {
        name: 'alloc + 512 links + sync + unlink + free',
        ops: 1,
        run: () => {
          const s = state2;
          dmaIovaTryAlloc(strict, s, 0, 512 * 4096);
          linkAll(strict, s);
          dmaIovaSync(strict, s, 0, 512 * 4096);
          dmaIovaUnlink(strict, s, 0, 512 * 4096, DMA_BIDIRECTIONAL, 0);
          dmaIovaFree(strict, s);
        },
      },
      {
        name: 'alloc + 512 links + sync + destroy with holes',
        ops: 1,
        run: () => {
          const s = state2;
          dmaIovaTryAlloc(strict, s, 0, 512 * 4096);
          linkAll(strict, s);
          dmaIovaSync(strict, s, 0, 512 * 4096);
          dmaIovaDestroyHoles(strict, s, DMA_BIDIRECTIONAL, 0);
        },
      },
    ],
    seconds,
  ),
  'us',
);

linkAll(strict, state);
dmaIovaUnlink(strict, state, 0, 511 * 4096, DMA_BIDIRECTIONAL, 0); // one leaf stays: warm tables
print(
  'one unlink of 511 scattered links (links not timed)',
  (() => {
    const samples = [];
    for (let i = 0; i < 20000; i++) {
      for (let j = 0; j < 511; j++) dmaIovaLink(strict, state, scattered[j] * 4096, j * 4096, 4096, 0, 0);
      const t0 = process.hrtime();
      dmaIovaUnlink(strict, state, 0, 511 * 4096, 0, 0);
      samples.push(process.hrtime(t0)[1]);
    }
    samples.sort((a, b) => a - b);
    return [{ name: 'dmaIovaUnlink', ns: samples[2000] }];
  })(),
  'us',
);
dmaIovaUnlink(strict, state, 511 * 4096, 4096, 0, 0);

const addrs = new Float64Array(256);
function classic(dev) {
  for (let i = 0; i < 256; i++) addrs[i] = dmaMapPhys(dev, scattered[i] * 4096, 4096, 0, 0);
  for (let i = 0; i < 256; i++) dmaUnmapPhys(dev, addrs[i], 4096, 0, 0);
}
print(
  'classic path, dmaMapPhys + dmaUnmapPhys of one page',
  compare(
    [none, strict, lazy, bounce].map((dev) => ({ name: dev.mode, ops: 256, run: () => classic(dev) })),
    seconds,
  ),
);

dmaIovaTryAlloc(strict, state, 0, 512 * 4096);
linkAll(strict, state);
print(
  'device access (512 pages in order)',
  compare(
    [
      {
        name: 'readTag through the IOTLB',
        ops: 512,
        run: () => {
          for (let i = 0; i < 512; i++) strict.readTag(state.addr + i * 4096);
        },
      },
      {
        name: 'writeTag through the IOTLB',
        ops: 512,
        run: () => {
          for (let i = 0; i < 512; i++) strict.writeTag(state.addr + i * 4096, i);
        },
      },
      {
        name: 'readTag without IOMMU',
        ops: 512,
        run: () => {
          for (let i = 0; i < 512; i++) none.readTag(scattered[i] * 4096);
        },
      },
    ],
    seconds,
  ),
);

function pairs(allocator, pages, count) {
  return () => {
    for (let i = 0; i < count; i++) allocator.free(allocator.alloc(pages, 2 ** 36 - 1, true, 0), pages, 0);
  };
}
const rows = [];
for (const name of ['linux-rbtree', 'segment-tree']) {
  for (const live of [10, 10000, 1000000]) {
    if (name === 'linux-rbtree' && live > 10000) continue;
    const allocator = iovaAllocator(name, machine);
    const held = Array.from({ length: live }, () => allocator.alloc(33, 2 ** 36 - 1, true, 0));
    // Every other range goes: a fragmented space, into which 64 pages fit only at the end.
    for (let i = 0; i < live; i += 2) allocator.free(held[i], 33, 0);
    for (const pages of [1, 64, 512]) {
      rows.push({
        name: `${name}, ${pages} pages, ${live / 2} live, fragmented`,
        ops: 100,
        run: pairs(allocator, pages, 100),
      });
    }
  }
}
print('IOVA alloc + free', compare(rows, seconds * 2));

function tableMegabytes(pages) {
  const big = new DmaDevice(new Machine(), memory, { name: 'big', iommu: 'strict' }).domain;
  // An odd pfn allows 4K leaves only.
  for (let at = 0; at < pages; at += 2 ** 18) big.mapRange(2 ** 30 + at, 2 ** 30 + at + 1, 2 ** 18, 3);
  return `${(big.tableBytes / 1e6).toFixed(1)} MB`;
}
console.log('\nmemory of the IO page table');
console.log(`  64 GiB as 4K pages: ${tableMegabytes(2 ** 24)}`);
const tera = new DmaDevice(new Machine(), memory, { name: 'tera', iommu: 'strict' }).domain;
for (let at = 0; at < 2 ** 28; at += 512) tera.mapRange(2 ** 30 + at, 2 ** 30 + at + 512, 512, 3);
console.log(`  1 TiB as 2M leaves: ${(tera.tableBytes / 1e6).toFixed(1)} MB`);
