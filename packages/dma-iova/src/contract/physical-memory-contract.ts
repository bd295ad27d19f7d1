import { Machine } from '@gpusvm/kernel';
import type { PhysicalMemory } from '../physical-memory.ts';
import { type ContractCheck, ContractRandom, same } from './contract.ts';

/** The suite that every physical memory passes: blocks, claims, tags, double frees, failure. */
export function physicalMemoryContract(
  make: (machine: Machine, pages: number) => PhysicalMemory,
): readonly ContractCheck[] {
  const check = (name: string, run: (m: PhysicalMemory, machine: Machine) => void): ContractCheck => ({
    name,
    run: () => {
      const machine = new Machine();
      run(make(machine, 4096), machine);
    },
  });
  return [
    check('a block is aligned, its pages are inside of the memory and it never holds page 0', alignedBlocks),
    check('an exact block can be claimed if and only if all of it is free', exactClaims),
    check('a block may be returned in parts and merges again', partsMerge),
    check('a double free throws and changes nothing', doubleFreeThrows),
    check('a fresh page has tag 0, whatever was in it', freshPagesAreZero),
    check('tags are per page', tagsPerPage),
    check('copy moves the content of pages', copies),
    check('a memory that knows its free pages names just those', freeRuns),
    check('a failing allocation returns NO_PFN and changes nothing', failureChangesNothing),
    check('3000 random allocations and frees never overlap and return everything', randomBlocks),
  ];
}

function alignedBlocks(memory: PhysicalMemory): void {
  for (let order = 0; order <= 10; order++) {
    const pfn = memory.allocPages(order);
    same(
      pfn >= 1 && pfn + 2 ** order <= memory.totalPages && pfn % 2 ** order === 0,
      true,
      `order ${order} at ${pfn}`,
    );
  }
  same(memory.allocPages(11), -1, 'an order beyond the largest');
}

function exactClaims(memory: PhysicalMemory): void {
  const free = memory.freePages;
  same(memory.claimPages(1024, 9), true, 'claim of a free block');
  same(memory.claimPages(1024 + 511, 0), false, 'claim of a page of it');
  same(memory.claimPages(1024, 10), false, 'claim of a block around it');
  same(memory.claimPages(1024 + 512, 9), true, 'claim of its buddy');
  same(free - memory.freePages, 1024, 'pages taken');
}

function partsMerge(memory: PhysicalMemory): void {
  const free = memory.freePages;
  memory.claimPages(2048, 10);
  for (let i = 0; i < 1024; i++) memory.freePagesBlock(2048 + i, 0);
  same(memory.freePages, free, 'free pages');
  same(memory.claimPages(2048, 10), true, 'the whole block again');
}

function freeRuns(memory: PhysicalMemory): void {
  if (memory.forEachFree === undefined) return;
  memory.claimPages(64, 3);
  memory.claimPages(80, 0);
  memory.freePagesBlock(66, 1);
  const runs: string[] = [];
  let pages = 0;
  memory.forEachFree((first, count) => {
    runs.push(`${first}+${count}`);
    pages += count;
  });
  same(pages, memory.freePages, 'pages in all');
  same(runs.slice(0, 4).join(' '), '1+63 66+2 72+8 81+4015', 'runs');
}

function doubleFreeThrows(memory: PhysicalMemory): void {
  const pfn = memory.allocPages(3);
  memory.freePagesBlock(pfn, 0);
  const free = memory.freePages;
  for (const order of [0, 3]) {
    let thrown: unknown = null;
    try {
      memory.freePagesBlock(pfn, order);
    } catch (error) {
      thrown = error;
    }
    same(thrown instanceof RangeError, true, `free of order ${order} throws`);
  }
  same(memory.freePages, free, 'free pages');
}

function freshPagesAreZero(memory: PhysicalMemory): void {
  const pfn = memory.allocPages(1);
  memory.writeTag(pfn, 42);
  memory.freePagesBlock(pfn, 1);
  same(memory.claimPages(pfn, 1), true, 'claim');
  same(memory.readTag(pfn), 0, 'tag of the claimed page');
}

function tagsPerPage(memory: PhysicalMemory): void {
  const pfn = memory.allocPages(2);
  for (let i = 0; i < 4; i++) memory.writeTag(pfn + i, 1000.5 + i);
  same(
    [0, 1, 2, 3].map((i) => memory.readTag(pfn + i)),
    [1000.5, 1001.5, 1002.5, 1003.5],
    'tags',
  );
}

function copies(memory: PhysicalMemory): void {
  const from = memory.allocPages(1);
  const to = memory.allocPages(1);
  memory.writeTag(from, 5);
  memory.writeTag(from + 1, 6);
  memory.copy(to * 4096, from * 4096, 8192);
  same([memory.readTag(to), memory.readTag(to + 1)], [5, 6], 'copied tags');
}

function failureChangesNothing(memory: PhysicalMemory, machine: Machine): void {
  const free = memory.freePages;
  machine.faultInjection.failNth('memory.alloc_pages', 1);
  same([memory.allocPages(0), memory.freePages], [-1, free], 'the failing call');
}

function randomBlocks(memory: PhysicalMemory): void {
  const random = new ContractRandom(5);
  const free = memory.freePages;
  const held: { pfn: number; order: number }[] = [];
  const owner = new Int32Array(memory.totalPages);
  for (let step = 1; step <= 3000; step++) {
    if (held.length > 0 && random.below(100) < 45) {
      const [gone] = held.splice(random.below(held.length), 1);
      owner.fill(0, gone!.pfn, gone!.pfn + 2 ** gone!.order);
      memory.freePagesBlock(gone!.pfn, gone!.order);
      continue;
    }
    const order = random.below(7);
    const pfn = memory.allocPages(order);
    if (pfn < 0) continue;
    for (let i = 0; i < 2 ** order; i++) {
      if (owner[pfn + i] !== 0) throw new Error(`step ${step}: page ${pfn + i} was handed out twice`);
    }
    owner.fill(step, pfn, pfn + 2 ** order);
    held.push({ pfn, order });
  }
  for (const { pfn, order } of held) memory.freePagesBlock(pfn, order);
  same(memory.freePages, free, 'free pages at the end');
}
