import { DMA_BIDIRECTIONAL, dmaMapPhys, dmaUnmapPhys } from '@gpusvm/dma-iova';
import { MAP_STRATEGIES, mapStrategy } from '@gpusvm/drm-pagemap';
import { FolioTable, Mm } from '@gpusvm/hmm';
import { EIO, ENOSPC, type Task } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import { NvmeMemory } from '../src/devices/nvme-memory.ts';
import { Nvme, NVME_WINDOW_BYTES, NvmeError } from '../src/devices/nvme.ts';
import { nativeDmaDevice } from '../src/native-dma-device.ts';
import { fillPattern } from '../src/program/pattern.ts';
import { engineWindow } from '../src/program/rig.ts';
import { attached, NVME } from './sim-device.ts';

const WINDOW = 0x40000000;
const START = 512;
const RIGHT = MAP_STRATEGIES.filter((name) => name !== 'iova-holes-one-destroy');

function world(strategy: (typeof MAP_STRATEGIES)[number] = 'iova-packed', pages = 1024) {
  const t = attached({}, NVME, 4096);
  const rings = t.sys.mmap({ lengthBytes: NVME_WINDOW_BYTES });
  if (typeof rings === 'number') throw new Error('mmap');
  t.ioas.map({ memory: rings, iova: WINDOW });
  const nvme = new Nvme(t.device!, engineWindow(rings, BigInt(WINDOW)));
  const reserved = [{ firstByte: WINDOW, lastByte: WINDOW + NVME_WINDOW_BYTES - 1 }];
  const device = nativeDmaDevice(t.machine, { name: 'nvme', ioas: t.ioas, arena: t.arena, reserved });
  const folios = new FolioTable(t.machine, t.arena);
  const mm = new Mm(t.machine, folios, { name: 'process' });
  const memory = new NvmeMemory(t.machine, {
    name: 'namespace',
    nvme,
    device,
    folios,
    pages,
    strategy: mapStrategy(strategy),
  });
  const run = <T>(task: Task<T>): T => t.machine.run(task);
  return { ...t, nvme, device, folios, mm, memory, run };
}

type World = ReturnType<typeof world>;

/** Every byte of the pages: what is in RAM now. */
function write(w: World, page: number): void {
  w.run(w.mm.cpuWrite(page, 1));
  fillPattern(w.arena.bytes(w.mm.pfnAt(page), 1), page);
}

function expectBytes(w: World, page: number): void {
  w.run(w.mm.cpuRead(page));
  expect(isPattern(w.arena.bytes(w.mm.pfnAt(page), 1), page)).toBe(true);
}

function isPattern(bytes: Uint8Array, seed: number): boolean {
  const wanted = new Uint8Array(4096);
  fillPattern(wanted, seed);
  return Buffer.compare(bytes, wanted) === 0;
}

function tearDown(w: World): void {
  w.run(w.mm.exit());
  w.machine.drain();
  w.memory[Symbol.dispose]();
  w.device.destroy();
  expect(w.machine.ledger.live()).toEqual([]);
  expect(w.ioas.unmapAll()).toBe(NVME_WINDOW_BYTES);
  w[Symbol.dispose]();
}

describe.each(RIGHT)('an NVMe namespace as device memory, pages mapped by %s', (strategy) => {
  test('takes a range and gives it back by a CPU fault, every byte the same', () => {
    const w = world(strategy);
    const pages = 200;
    w.run(w.mm.mmap(START, pages, { read: true, write: true }));
    // Every third page was never touched.
    const written = Array.from({ length: pages }, (_, i) => START + i).filter((page) => page % 3 !== 0);
    for (const page of written) write(w, page);
    expect(w.run(w.memory.migrate(w.mm, START, START + pages))).toBe(0);
    expect(w.mm.devicePages).toBe(pages);
    // What the namespace holds is read with the driver itself, around the model.
    const scratch = w.arena.allocPages(0);
    const addr = dmaMapPhys(w.device, scratch * 4096, 4096, DMA_BIDIRECTIONAL, 0);
    w.nvme.transfer(false, w.memory.offsetOf(w.mm.pfnAt(START)), [BigInt(addr)], 4096);
    dmaUnmapPhys(w.device, addr, 4096, DMA_BIDIRECTIONAL, 0);
    expect(isPattern(w.arena.bytes(scratch, 1), START)).toBe(true);
    w.arena.freePagesBlock(scratch, 0);
    for (const page of written) expectBytes(w, page);
    expect(w.mm.devicePages).toBe(0);
    expect(w.device.domain!.mappedPages).toBe(0);
    tearDown(w);
  });

  test('takes a huge page in one command', () => {
    const w = world(strategy, 2048);
    w.run(w.mm.mmap(START, 512, { read: true, write: true, hugepage: true }));
    for (let page = START; page < START + 512; page++) write(w, page);
    expect(w.run(w.memory.migrate(w.mm, START, START + 512))).toBe(0);
    for (let page = START; page < START + 512; page++) expectBytes(w, page);
    tearDown(w);
  });
});

describe('an NVMe namespace as device memory', () => {
  test('that is full refuses, and the data stays where it was', () => {
    const w = world('iova-packed', 16);
    w.run(w.mm.mmap(START, 32, { read: true, write: true }));
    for (let page = START; page < START + 32; page++) write(w, page);
    expect(w.run(w.memory.migrate(w.mm, START, START + 32))).toBe(-ENOSPC);
    expect(w.mm.devicePages).toBe(0);
    for (let page = START; page < START + 32; page++) expectBytes(w, page);
    tearDown(w);
  });

  test('whose controller fails a command gives -EIO, and the data stays where it was', () => {
    const w = world();
    w.run(w.mm.mmap(START, 8, { read: true, write: true }));
    for (let page = START; page < START + 8; page++) write(w, page);
    w.nvme.transfer = () => {
      throw new NvmeError('write', 0x4002);
    };
    expect(w.run(w.memory.migrate(w.mm, START, START + 8))).toBe(-EIO);
    expect(w.mm.devicePages).toBe(0);
    for (let page = START; page < START + 8; page++) expectBytes(w, page);
    expect(() => w.memory.offsetOf(1)).toThrow('is no page of namespace');
    tearDown(w);
  });

  test('cannot be larger than the namespace', () => {
    expect(() => world('iova-packed', 16385)).toThrow('16385 pages exceed the namespace of 67108864 bytes');
  });
});
