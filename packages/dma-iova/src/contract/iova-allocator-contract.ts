import { type Machine, roundupPowOfTwo } from '@gpusvm/kernel';
import type { IovaAllocator } from '../iova/iova-allocator.ts';
import { type ContractCheck, ContractRandom, same } from './contract.ts';

const LIMIT = 2 ** 28 - 1;

/** What the suite runs on. */
export interface AllocatorUnderTest {
  readonly machine: Machine;
  readonly iova: IovaAllocator;
}

/**
 * The suite that every IOVA allocator passes (after the ideas of the iova KUnit RFC): natural alignment, limits,
 * reserved ranges, no overlap, reuse, exhaustion, failure.
 */
export function iovaAllocatorContract(make: () => AllocatorUnderTest): readonly ContractCheck[] {
  const check = (name: string, run: (t: AllocatorUnderTest) => void): ContractCheck => ({
    name,
    run: () => run(make()),
  });
  return [
    check('a range is aligned to its size rounded up, below the limit, never page 0', alignedAndLimited),
    check('addresses come from the top down', topDown),
    check('reserved ranges are never handed out', reservedRespected),
    check('a full space fails and serves again after a free', exhaustion),
    check('what is live is reported', liveReported),
    check('a failed allocation changes nothing', failureChangesNothing),
    check('2000 random operations never overlap and can all be undone', randomNoOverlap),
  ];
}

function alignedAndLimited({ iova }: AllocatorUnderTest): void {
  for (const limit of [2 ** 12 - 1, 2 ** 20 - 1, LIMIT]) {
    for (const pages of [1, 2, 3, 5, 31, 32, 33, 512, 513, 1500]) {
      const page = iova.alloc(pages, limit, true, 0);
      same(page > 0 && page + pages - 1 <= limit, true, `${pages} pages below ${limit} at ${page}`);
      same(page % roundupPowOfTwo(pages), 0, `alignment of ${pages} pages at ${page}`);
      iova.free(page, pages, 0);
    }
  }
}

function topDown({ iova }: AllocatorUnderTest): void {
  const got = [1, 1, 1].map(() => iova.alloc(512, LIMIT, true, 0));
  same(got, [LIMIT + 1 - 512, LIMIT + 1 - 1024, LIMIT + 1 - 1536], 'three ranges of 512 pages');
}

function reservedRespected({ iova }: AllocatorUnderTest): void {
  iova.reserve(LIMIT - 700, LIMIT - 650);
  iova.reserve(LIMIT - 660, LIMIT - 100);
  for (let i = 0; i < 40; i++) {
    const page = iova.alloc(33, LIMIT, true, 0);
    const apart = page > LIMIT - 100 || page + 32 < LIMIT - 700;
    same(apart, true, `range ${i} at ${page - LIMIT} against the reserved one`);
  }
}

function exhaustion({ iova }: AllocatorUnderTest): void {
  const limit = 2 ** 12 - 1;
  const taken: number[] = [];
  for (let page = iova.alloc(64, limit, true, 0); page !== 0; page = iova.alloc(64, limit, true, 0))
    taken.push(page);
  same(taken.length, 63, 'ranges of 64 pages in 4096 pages, the first of which is not usable');
  same(iova.alloc(64, limit, true, 0), 0, 'one more');
  iova.free(taken[17]!, 64, 0);
  same(iova.alloc(64, limit, true, 0), taken[17]!, 'after a free');
}

function liveReported({ iova }: AllocatorUnderTest): void {
  const a = iova.alloc(1, LIMIT, true, 0);
  const b = iova.alloc(512, LIMIT, true, 0);
  const c = iova.alloc(5000, LIMIT, true, 0);
  iova.free(a, 1, 0);
  same(
    live(iova),
    [
      [c, c + 4999],
      [b, b + 511],
    ].sort((x, y) => x[0]! - y[0]!),
    'live ranges',
  );
  iova.free(b, 512, 0);
  iova.free(c, 5000, 0);
  same(live(iova), [], 'live ranges after all frees');
}

function failureChangesNothing({ iova, machine }: AllocatorUnderTest): void {
  machine.faultInjection.failNth('iova.alloc_node', 1);
  same(iova.alloc(512, LIMIT, false, 0), 0, 'the failing call');
  same(live(iova), [], 'live ranges');
  same(iova.alloc(512, LIMIT, false, 0), LIMIT + 1 - 512, 'the next call');
}

function randomNoOverlap({ iova }: AllocatorUnderTest): void {
  const random = new ContractRandom(11);
  const held: { page: number; pages: number }[] = [];
  for (let step = 0; step < 2000; step++) {
    if (held.length > 0 && random.below(100) < 45) {
      const [gone] = held.splice(random.below(held.length), 1);
      iova.free(gone!.page, gone!.pages, 0);
      continue;
    }
    const pages = [1, 1, 1, 3, 8, 17, 32, 33, 64, 300, 512, 777, 2048, 2049, 4096, 6000][random.below(16)]!;
    const page = iova.alloc(pages, random.below(3) === 0 ? 2 ** 20 - 1 : LIMIT, true, 0);
    same(page > 0, true, `step ${step}: ${pages} pages`);
    for (const other of held) {
      const apart = page + pages <= other.page || other.page + other.pages <= page;
      if (!apart)
        throw new Error(`step ${step}: ${pages} pages at ${page} overlap ${other.pages} at ${other.page}`);
    }
    held.push({ page, pages });
  }
  for (const { page, pages } of held) iova.free(page, pages, 0);
  same(live(iova), [], 'live ranges at the end');
}

function live(iova: IovaAllocator): number[][] {
  const out: number[][] = [];
  iova.forEachLive((first, last) => out.push([first, last]));
  return out;
}
