import { describe, expect, test } from 'vitest';
import { Edu } from '../src/devices/edu.ts';
import { Nvme, NVME_WINDOW_BYTES, NvmeError } from '../src/devices/nvme.ts';
import { prpsOf } from '../src/devices/prp.ts';
import { fillPattern } from '../src/program/pattern.ts';
import { engineWindow } from '../src/program/rig.ts';
import { attached, EDU, NVME, type Attached } from './sim-device.ts';

const WINDOW = 0x40000000;

function withWindow(bdf: string): Attached & { readonly window: ReturnType<typeof engineWindow> } {
  const t = attached({}, bdf, 1024);
  const memory = t.sys.mmap({ lengthBytes: NVME_WINDOW_BYTES });
  if (typeof memory === 'number') throw new Error(`mmap ${memory}`);
  t.ioas.map({ memory, iova: WINDOW });
  return { ...t, window: engineWindow(memory, BigInt(WINDOW)) };
}

function pattern(bytes: number, seed: number): Uint8Array {
  const data = new Uint8Array(bytes);
  fillPattern(data, seed);
  return data;
}

describe('edu', () => {
  test('moves 4095 bytes to memory and back through the IOMMU', () => {
    using t = withWindow(EDU);
    const edu = new Edu(t.device!, t.window);
    const pfn = t.arena.allocPages(0);
    t.ioas.map({
      memory: t.arena.memory,
      offsetBytes: t.arena.offsetOf(pfn),
      lengthBytes: 4096,
      iova: 0x9000,
    });
    edu.write(0x9000n, pattern(4095, 3));
    expect(t.arena.bytes(pfn, 1).subarray(0, 4095)).toEqual(pattern(4095, 3));
    expect(edu.read(0x9000n, 4095)).toEqual(pattern(4095, 3));
    expect(edu.read(0xa000n, 16)).toEqual(new Uint8Array(16));
    expect(() => edu.read(0x9000n, 4096)).toThrow('1 to 4095 bytes');
  });

  test('inverts its liveness register and raises interrupts', () => {
    using t = withWindow(EDU);
    const edu = new Edu(t.device!, t.window);
    expect(edu.invert(0x12345678)).toBe(0xedcba987);
    edu.raise(5);
    expect([edu.takeIrqStatus(), edu.takeIrqStatus()]).toEqual([5, 0]);
  });

  test('another device is not taken for one', () => {
    using t = withWindow(NVME);
    expect(() => new Edu(t.device!, t.window)).toThrow('that is no edu device');
  });
});

describe('nvme', () => {
  test('identifies itself and its namespace', () => {
    using t = withWindow(NVME);
    const nvme = new Nvme(t.device!, t.window);
    expect(nvme).toMatchObject({ serial: 'gdma1', granuleBytes: 512, maxTransferBytes: 512 * 1024 });
    expect(nvme.capacityBytes).toBe(64 * 2 ** 20);
  });

  test('writes pages in scattered order through a PRP list and reads them back in another', () => {
    using t = withWindow(NVME);
    const nvme = new Nvme(t.device!, t.window);
    const pages = 100;
    const pfn = t.arena.allocPages(8);
    t.ioas.map({
      memory: t.arena.memory,
      offsetBytes: t.arena.offsetOf(pfn),
      lengthBytes: 256 * 4096,
      iova: 2 ** 32,
    });
    const iova = (page: number): bigint => BigInt(2 ** 32 + page * 4096);
    for (let i = 0; i < pages; i++) fillPattern(t.arena.bytes(pfn + i, 1), i);
    const backwards = Array.from({ length: pages }, (_, i) => iova(pages - 1 - i));
    nvme.transfer(true, 1 << 20, backwards, pages * 4096);
    const forwards = Array.from({ length: pages }, (_, i) => iova(128 + i));
    nvme.transfer(false, 1 << 20, forwards, pages * 4096);
    for (let i = 0; i < pages; i++)
      expect(t.arena.bytes(pfn + 128 + i, 1)).toEqual(t.arena.bytes(pfn + pages - 1 - i, 1));
  });

  test('loses only the pages of a read that are not mapped', () => {
    using t = withWindow(NVME);
    const nvme = new Nvme(t.device!, t.window);
    const pfn = t.arena.allocPages(4);
    for (const [first, pages] of [
      [0, 4],
      [5, 11],
    ] as const)
      t.ioas.map({
        memory: t.arena.memory,
        offsetBytes: t.arena.offsetOf(pfn + first),
        lengthBytes: pages * 4096,
        iova: 0x100000 + first * 4096,
      });
    t.arena.bytes(pfn, 16).fill(0xee);
    nvme.transfer(
      false,
      0,
      Array.from({ length: 16 }, (_, i) => BigInt(0x100000 + i * 4096)),
      16 * 4096,
    );
    const written = Array.from({ length: 16 }, (_, i) => t.arena.bytes(pfn + i, 1)[9] === 0);
    expect(written.map((w) => (w ? 'w' : '-')).join('')).toBe('wwww-wwwwwwwwwww');
  });

  test('reports the status of a failed command and refuses what no command can do', () => {
    using t = withWindow(NVME);
    const nvme = new Nvme(t.device!, t.window);
    const beyond = nvme.capacityBytes;
    expect(() => nvme.transfer(false, beyond, [BigInt(WINDOW)], 512)).toThrow(NvmeError);
    expect(() => nvme.transfer(false, beyond, [BigInt(WINDOW)], 512)).toThrow('status 0x4080');
    expect(() => nvme.transfer(false, 0, [BigInt(WINDOW)], 100)).toThrow('blocks of 512');
    expect(() => nvme.transfer(false, 0, [BigInt(WINDOW)], 2 ** 20)).toThrow('exceed one command');
    nvme.disable();
  });
});

describe('PRPs', () => {
  const list = new Uint8Array(4096);

  test('of one and two pages need no list', () => {
    expect(prpsOf([0x1200n], 0xe00, list, 0n)).toEqual({ prp1: 0x1200n, prp2: 0n });
    expect(prpsOf([0x1200n, 0x5000n], 0xe01, list, 0n)).toEqual({ prp1: 0x1200n, prp2: 0x5000n });
  });

  test('of more pages put all but the first into the list', () => {
    expect(prpsOf([0x1000n, 0x9000n, 0x5000n], 3 * 4096, list, 0x70000n)).toEqual({
      prp1: 0x1000n,
      prp2: 0x70000n,
    });
    expect(new DataView(list.buffer).getBigUint64(8, true)).toBe(0x5000n);
  });

  test.each([
    [[], 512, 'at least one page'],
    [[0x1000n], 4097, 'are 2 pages, not 1'],
    [[0x1000n, 0x2001n], 8192, 'page boundary'],
  ])('%#: what does not fit is refused', (pages, bytes, message) => {
    expect(() => prpsOf(pages, bytes, list, 0n)).toThrow(message);
  });
});
