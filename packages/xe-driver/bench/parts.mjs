// The parts of a 2M fault that belong to this package, each alone: node bench/parts.mjs [seconds per group]
import { DMA_BIDIRECTIONAL, DmaDevice, dmaMapPage, TagMemory } from '@gpusvm/dma-iova';
import { Machine } from '@gpusvm/kernel';
import { XE_TIMING } from '../dist/config.js';
import { xeCounters } from '../dist/counters.js';
import { TLB_VALID, XeGpuTlb } from '../dist/gpu-tlb.js';
import { XeMigrate } from '../dist/migrate.js';
import { PtPool } from '../dist/pt.js';
import { PtBindStage } from '../dist/pt-stage.js';
import { ptUnbindRange } from '../dist/pt-unbind.js';
import { PtWalker, ptZapRange } from '../dist/pt-walk.js';
import { ResCursor } from '../dist/res-cursor.js';
import { forEachCopyRun } from '../dist/svm-copy.js';
import { VramRegion } from '../dist/vram.js';
import { compare, print } from '@gpusvm/bench';

const seconds = Number(process.argv[2] ?? 1);
const machine = new Machine();
const counters = xeCounters(machine);
const memory = new TagMemory(machine, { pages: 1 << 16 });
const device = new DmaDevice(machine, memory, { name: 'gpu0', iommu: 'strict' });
const pool = new PtPool(machine, counters);
const root = pool.alloc(3, false);
const stage = new PtBindStage(pool);
const walker = new PtWalker(pool);
const format = { patIndex: 0, vramFlags: 2050, systemFlags: 2, compact64k: true, needs64k: false };
const BASE = 512 * 4096;

const entriesOf = (pages, frameOf, order = 0) => {
  const addr = Float64Array.from({ length: pages }, (_, i) => frameOf(i) * 4096);
  return { addr, order: new Uint8Array(pages).fill(order), proto: new Uint8Array(pages) };
};
const scattered = entriesOf(512, (i) => 1024 + ((i * 7919) % 65_536));
const packed = entriesOf(512, (i) => 512 * 9 + i);
const cursor = new ResCursor(scattered, 512);
stage.stage(root, BASE + 512, BASE + 528, (cursor.reset(packed, 16), cursor), format);
stage.commit(false);

const bindAndUnbind = (entries) => () => {
  cursor.reset(entries, 512);
  stage.stage(root, BASE, BASE + 512, cursor, format);
  stage.commit(false);
  ptZapRange(pool, root, 0, BASE, BASE + 512);
  ptUnbindRange(pool, root, 0, BASE, BASE + 512);
};
print(
  '2M range: cursor, stage, commit, zap, unbind',
  compare(
    [
      { name: '512 scattered 4K pages (512 entries)', run: bindAndUnbind(scattered) },
      { name: '512 pages packed into one 2M segment (one leaf)', run: bindAndUnbind(packed) },
    ],
    seconds,
  ),
  'us',
);

cursor.reset(scattered, 512);
stage.stage(root, BASE, BASE + 512, cursor, format);
stage.commit(false);
const tlb = new XeGpuTlb(64, counters);
print(
  '512 pages',
  compare(
    [
      {
        name: 'walk every page from the root',
        run: () => {
          for (let i = 0; i < 512; i++) walker.walk(root, BASE + i);
        },
      },
      { name: 'find the first missing page', run: () => walker.firstMissing(root, BASE, BASE + 512, true) },
      {
        name: 'TLB insert',
        run: () => {
          for (let i = 0; i < 512; i++) tlb.insert(1, BASE + i, i, 1, TLB_VALID);
        },
      },
      {
        name: 'TLB look-up',
        run: () => {
          for (let i = 0; i < 512; i++) tlb.lookup(1, BASE + i);
        },
      },
    ],
    seconds,
  ),
  'us',
);

const vram = new VramRegion(1024);
const migrate = new XeMigrate(machine, device, pool, vram, counters, XE_TIMING);
const mapped = (count, order) => {
  const addr = new Float64Array(512);
  const orders = new Uint8Array(512);
  for (let n = 0; n < count; n++) {
    const pfn = memory.allocPages(order);
    addr[n << order] = dmaMapPage(device, pfn, 0, 4096 << order, DMA_BIDIRECTIONAL, 0);
    orders[n << order] = order;
  }
  return { addr, order: orders, proto: new Uint8Array(512) };
};
const small = mapped(512, 0);
const huge = mapped(1, 9);
const pages = Float64Array.from({ length: 512 }, (_, i) => i);
const frame = vram.dpaBaseFrame;
print(
  'copy of 2M through the IOMMU (reads included)',
  compare(
    [
      {
        name: 'split 512 entries into runs',
        run: () =>
          forEachCopyRun(
            pages,
            small,
            512,
            (pfn) => pfn,
            () => 0,
          ),
      },
      {
        name: '512 entries of 4K to device memory',
        run: () => migrate.copy(small, 0, 512, frame, true, null),
      },
      { name: 'one entry of 2M to device memory', run: () => migrate.copy(huge, 0, 512, frame, true, null) },
      { name: '512 entries of 4K back', run: () => migrate.copy(small, 0, 512, frame, false, null) },
      {
        name: '512 device reads alone',
        run: () => {
          for (let i = 0; i < 512; i++) device.readTag(small.addr[i]);
        },
      },
    ],
    seconds,
  ),
  'us',
);
