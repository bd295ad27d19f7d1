import { type DmaDevice, DMA_BIDIRECTIONAL, dmaMapPhys, dmaUnmapPhys } from '@gpusvm/dma-iova';
import { type ContractCheck, same } from '@gpusvm/dma-iova/contract';
import { MAP_STRATEGIES, mapStrategy, type MapStrategyName } from '@gpusvm/drm-pagemap';
import { FolioTable, Mm } from '@gpusvm/hmm';
import type { Task } from '@gpusvm/kernel';
import { NvmeMemory } from '../devices/nvme-memory.ts';
import { Nvme, NVME_WINDOW_BYTES } from '../devices/nvme.ts';
import { nativeDmaDevice } from '../native-dma-device.ts';
import { fillPattern } from '../program/pattern.ts';
import type { Sys } from '../sys.ts';
import { NativeWorld, WORLD_WINDOW } from './native-world.ts';

const PAGE = 4096;
const START = 512;
const ARENA_PAGES = 4096;

/**
 * Migration of a process's memory into an NVMe namespace and back, by DMA on addresses that each mapping strategy
 * makes through an IOAS: every byte arrives, nothing stays mapped, nothing stays allocated.
 */
export function nvmeMemoryContract(makeSys: () => Sys): readonly ContractCheck[] {
  // One destroy over holes leaks by design, which is no property of this layer.
  const right = MAP_STRATEGIES.filter((name) => name !== 'iova-holes-one-destroy');
  return right.flatMap((strategy) => [
    {
      name: `a range with holes goes out and comes back, every byte the same (${strategy})`,
      run: () => withBench(makeSys(), strategy, rangeWithHoles),
    },
    {
      name: `a huge page goes out and comes back, every byte the same (${strategy})`,
      run: () => withBench(makeSys(), strategy, hugePage),
    },
  ]);
}

/** A process, the namespace as device memory, and what is between them. */
interface Bench {
  readonly world: NativeWorld;
  readonly nvme: Nvme;
  readonly device: DmaDevice;
  readonly mm: Mm;
  readonly memory: NvmeMemory;
  run<T>(task: Task<T>): T;
}

function withBench(sys: Sys, strategy: MapStrategyName, check: (b: Bench) => void): void {
  const world = new NativeWorld(sys, 'nvme', ARENA_PAGES);
  try {
    const { machine, ioas, arena } = world;
    const nvme = new Nvme(world.device!, world.window());
    const reserved = [{ firstByte: WORLD_WINDOW, lastByte: WORLD_WINDOW + NVME_WINDOW_BYTES - 1 }];
    const device = nativeDmaDevice(machine, { name: 'nvme', ioas, arena, reserved });
    const folios = new FolioTable(machine, arena);
    const mm = new Mm(machine, folios, { name: 'process' });
    const memory = new NvmeMemory(machine, {
      name: 'namespace',
      nvme,
      device,
      folios,
      pages: 2048,
      strategy: mapStrategy(strategy),
    });
    check({ world, nvme, device, mm, memory, run: (task) => machine.run(task) });
    machine.run(mm.exit());
    machine.drain();
    memory[Symbol.dispose]();
    device.destroy();
    same(machine.ledger.live(), [], 'what is left in the ledger');
    same(ioas.unmapAll(), NVME_WINDOW_BYTES, 'bytes that were still mapped: the rings and nothing else');
  } finally {
    world[Symbol.dispose]();
  }
}

function rangeWithHoles(b: Bench): void {
  const pages = 200;
  b.run(b.mm.mmap(START, pages, { read: true, write: true }));
  const written = Array.from({ length: pages }, (_, i) => START + i).filter((page) => page % 3 !== 0);
  for (const page of written) fill(b, page);
  same(b.run(b.memory.migrate(b.mm, START, START + pages)), 0, 'migration to the namespace');
  same(b.mm.devicePages, pages, 'pages in the namespace');
  storedIn(b, written[0]!);
  for (const page of written) comesBack(b, page);
  same([b.mm.devicePages, b.device.domain!.mappedPages], [0, 0], 'device pages and mapped pages afterwards');
}

function hugePage(b: Bench): void {
  b.run(b.mm.mmap(START, 512, { read: true, write: true, hugepage: true }));
  for (let page = START; page < START + 512; page++) fill(b, page);
  same(b.run(b.memory.migrate(b.mm, START, START + 512)), 0, 'migration to the namespace');
  for (let page = START; page < START + 512; page++) comesBack(b, page);
}

/** The process writes a page: all bytes of it. */
function fill(b: Bench, page: number): void {
  b.run(b.mm.cpuWrite(page, 1));
  b.world.arena.bytes(b.mm.pfnAt(page), 1).set(patternOf(page));
}

/** The process touches a page, which brings it back. */
function comesBack(b: Bench, page: number): void {
  b.run(b.mm.cpuRead(page));
  same(isPattern(b.world.arena.bytes(b.mm.pfnAt(page), 1), page), true, `bytes of page ${page}`);
}

/** The namespace really holds a page: read by the driver itself, around the model. */
function storedIn(b: Bench, page: number): void {
  const { arena } = b.world;
  const scratch = arena.allocPages(0);
  const addr = dmaMapPhys(b.device, scratch * PAGE, PAGE, DMA_BIDIRECTIONAL, 0);
  b.nvme.transfer(false, b.memory.offsetOf(b.mm.pfnAt(page)), [BigInt(addr)], PAGE);
  dmaUnmapPhys(b.device, addr, PAGE, DMA_BIDIRECTIONAL, 0);
  same(isPattern(arena.bytes(scratch, 1), page), true, `bytes of page ${page} in the namespace`);
  arena.freePagesBlock(scratch, 0);
}

function isPattern(bytes: Uint8Array, page: number): boolean {
  return Buffer.compare(bytes, patternOf(page)) === 0;
}

/** By page number: every strategy moves the same pages, and in an emulated machine patterns take longer than DMA. */
const patterns = new Map<number, Uint8Array>();

function patternOf(page: number): Uint8Array {
  const known = patterns.get(page);
  if (known !== undefined) return known;
  const made = new Uint8Array(PAGE);
  fillPattern(made, page);
  patterns.set(page, made);
  return made;
}
