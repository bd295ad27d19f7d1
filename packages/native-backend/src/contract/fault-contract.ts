import { type ContractCheck, same } from '@gpusvm/dma-iova/contract';
import { ENOMEM } from '@gpusvm/kernel';
import { Edu } from '../devices/edu.ts';
import { Nvme } from '../devices/nvme.ts';
import { digest, fillPattern } from '../program/pattern.ts';
import { memoryOf, type RigDevice } from '../program/rig.ts';
import type { Sys } from '../sys.ts';
import { NativeWorld, WORLD_WINDOW } from './native-world.ts';

const PAGE = 4096;
const IOVA = 0x2000000;
/** Pieces of the memlock check, and how many fit at most before the limit. */
const PIECE_PAGES = 16;
const MOST_PIECES = 8;

/**
 * What goes wrong around a mapping: memory that disappears, a device that is reset or closed in the middle of a
 * transfer. Nothing leaks and the next run works. Needs an edu and an NVMe device.
 */
export function faultContract(makeSys: () => Sys): readonly ContractCheck[] {
  return [
    {
      name: 'memory that the process unmaps while it is mapped stays reachable until its unmap',
      run: () => inWorld(makeSys(), 'nvme', memoryGoes),
    },
    {
      name: 'a transfer into 16 pages of which one is not mapped writes the other 15',
      run: () => inWorld(makeSys(), 'nvme', holeInTransfer),
    },
    {
      name: 'a device that is reset starts again, and reaches what was mapped before',
      run: () => inWorld(makeSys(), 'nvme', deviceReset),
    },
    {
      name: 'a device that is closed during a transfer writes nothing any more, and opens again',
      run: () => closedInFlight(makeSys()),
    },
    {
      name: 'a detach cuts a device off, an attach gives it back',
      run: () => inWorld(makeSys(), 'edu', detached),
    },
  ];
}

/**
 * Reaching the memlock limit at every one of several maps: that map gives ENOMEM, the others stay, and after their
 * unmap all of the limit is there again. For a process without CAP_IPC_LOCK that has pinned nothing.
 *
 * @param limitBytes - RLIMIT_MEMLOCK.
 */
export function memlockContract(makeSys: () => Sys, limitBytes: number): readonly ContractCheck[] {
  return Array.from({ length: MOST_PIECES + 1 }, (_, k) => ({
    name: `at the memlock limit map ${k + 1} fails, the ${k} in front of it stay, nothing leaks`,
    run: () => inWorld(makeSys(), 'nvme', (world) => limitAtMap(world, limitBytes, k)),
  }));
}

function inWorld(sys: Sys, kind: RigDevice, run: (world: NativeWorld) => void): void {
  const world = new NativeWorld(sys, kind, 64);
  try {
    run(world);
  } finally {
    world[Symbol.dispose]();
  }
}

function pattern(bytes: number, seed: number): Uint8Array {
  const data = new Uint8Array(bytes);
  fillPattern(data, seed);
  return data;
}

function memoryGoes(world: NativeWorld): void {
  const nvme = new Nvme(world.device!, world.window());
  const memory = memoryOf(world.sys, 4 * PAGE);
  memory.bytes.set(pattern(4 * PAGE, 5));
  world.ioas.map({ memory, iova: IOVA });
  same(memory.unmap(), 0, 'munmap');
  same(digest(nvme.read(BigInt(IOVA), 4 * PAGE)), digest(pattern(4 * PAGE, 5)), 'what the device reads');
  same(world.ioas.unmap(IOVA, 4 * PAGE), 4 * PAGE, 'bytes unmapped');
  same(digest(nvme.read(BigInt(IOVA), PAGE)), '-', 'what the device reads afterwards');
}

function holeInTransfer(world: NativeWorld): void {
  const { sys, ioas } = world;
  const nvme = new Nvme(world.device!, world.window());
  const zeroes = memoryOf(sys, 16 * PAGE);
  ioas.map({ memory: zeroes, iova: 2 * IOVA });
  nvme.read(BigInt(2 * IOVA), 16 * PAGE);
  const memory = memoryOf(sys, 16 * PAGE);
  memory.bytes.fill(0xee);
  for (const [first, pages] of [
    [0, 4],
    [5, 11],
  ] as const) {
    const part = { memory, offsetBytes: first * PAGE, lengthBytes: pages * PAGE };
    ioas.map({ ...part, iova: IOVA + first * PAGE });
  }
  const iovas = Array.from({ length: 16 }, (_, i) => BigInt(IOVA + i * PAGE));
  nvme.transfer(false, 0, iovas, 16 * PAGE);
  const written = iovas.map((_, i) => (memory.bytes[i * PAGE + 9] === 0xee ? '-' : 'w'));
  same(written.join(''), 'wwww-wwwwwwwwwww', 'pages that were written');
  memory.unmap();
  zeroes.unmap();
}

function deviceReset(world: NativeWorld): void {
  const first = new Nvme(world.device!, world.window());
  mapArena(world);
  first.write(BigInt(IOVA), pattern(PAGE, 1));
  world.device!.reset();
  const second = new Nvme(world.device!, world.window());
  same(
    digest(second.read(BigInt(IOVA), PAGE)),
    digest(pattern(PAGE, 1)),
    'what the device reads after the reset',
  );
}

function detached(world: NativeWorld): void {
  const edu = new Edu(world.device!, world.window());
  mapArena(world);
  edu.write(BigInt(IOVA), pattern(64, 1));
  world.device!.detach();
  const before = digest(world.arena.bytes(1, 1));
  edu.write(BigInt(IOVA), pattern(64, 2));
  same(digest(world.arena.bytes(1, 1)), before, 'memory while the device is detached');
  world.device!.attach(world.ioas);
  edu.write(BigInt(IOVA), pattern(64, 2));
  same(digest(world.arena.bytes(1, 1).slice(0, 64)), digest(pattern(64, 2)), 'memory after the attach');
}

function closedInFlight(sys: Sys): void {
  const world = new NativeWorld(sys, 'edu', 64);
  mapArena(world);
  const edu = new Edu(world.device!, world.window());
  edu.write(BigInt(IOVA), pattern(64, 1));
  edu.start(BigInt(IOVA) + 1024n, 512);
  world.device![Symbol.dispose]();
  // The transfer would have taken 100 ms.
  sys.sleepMs(300);
  const bytes = world.arena.bytes(1, 1);
  same(digest(bytes.slice(1024, 1536)), '-', 'memory that the closed device was about to write');
  same(digest(bytes.slice(0, 64)), digest(pattern(64, 1)), 'what it wrote before');
  world[Symbol.dispose]();
  inWorld(sys, 'edu', (next) => {
    mapArena(next);
    new Edu(next.device!, next.window()).write(BigInt(IOVA), pattern(64, 3));
    same(digest(next.arena.bytes(1, 1).slice(0, 64)), digest(pattern(64, 3)), 'the next run');
  });
}

/** Page 1 of the arena, which page 0 never is handed out from. */
function mapArena({ ioas, arena }: NativeWorld): void {
  ioas.map({ memory: arena.memory, offsetBytes: arena.offsetOf(1), lengthBytes: PAGE, iova: IOVA });
}

function limitAtMap({ sys, ioas }: NativeWorld, limitBytes: number, k: number): void {
  const memory = memoryOf(sys, limitBytes + PIECE_PAGES * PAGE);
  const piece = PIECE_PAGES * PAGE;
  const filler = limitBytes - k * piece;
  ioas.map({ memory, lengthBytes: filler, iova: WORLD_WINDOW });
  for (let i = 0; i <= k; i++) {
    const request = { memory, offsetBytes: filler + i * piece, lengthBytes: piece };
    const err = ioas.tryMap({ ...request, iova: IOVA + i * piece });
    same(err, i < k ? 0 : -ENOMEM, `map ${i + 1} with room for ${k}`);
  }
  same(ioas.unmapAll(), limitBytes, 'bytes unmapped');
  same(
    ioas.tryMap({ memory, lengthBytes: limitBytes, iova: WORLD_WINDOW }),
    0,
    'a map of the whole limit afterwards',
  );
  ioas.unmapAll();
  memory.unmap();
}
