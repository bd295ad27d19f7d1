import { FolioTable, Mm } from '@gpusvm/hmm';
import { EIO, ENOSPC, type Task } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import { nvmeMemoryContract } from '../src/contract/nvme-memory-contract.ts';
import { NvmeMemory } from '../src/devices/nvme-memory.ts';
import { Nvme, NVME_WINDOW_BYTES, NvmeError } from '../src/devices/nvme.ts';
import { nativeDmaDevice } from '../src/native-dma-device.ts';
import { fillPattern } from '../src/program/pattern.ts';
import { engineWindow } from '../src/program/rig.ts';
import { SimSys } from '../src/sim/sim-sys.ts';
import { attached, NVME } from './sim-device.ts';

const WINDOW = 0x40000000;
const START = 512;

function world(pages = 1024) {
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

describe('the contract of the namespace on SimSys', () => {
  test.each(nvmeMemoryContract(() => new SimSys()))('$name', ({ run }) => expect(run).not.toThrow());
});

describe('an NVMe namespace as device memory', () => {
  test('that is full refuses, and the data stays where it was', () => {
    const w = world(16);
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
    expect(() => world(16385)).toThrow('16385 pages exceed the namespace of 67108864 bytes');
  });
});
