import { EINVAL, ENOSPC, Machine } from '@gpusvm/kernel';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BuddyBlocks } from '../src/buddy-blocks.ts';
import {
  DRM_BUDDY_CONTIGUOUS_ALLOCATION,
  DRM_BUDDY_RANGE_ALLOCATION,
  DRM_BUDDY_TOPDOWN_ALLOCATION,
  DrmBuddy,
} from '../src/buddy.ts';

/** A bitmap of pages: says what is free, and whether an aligned free block of a size exists in a range. */
class Naive {
  readonly used: boolean[];

  constructor(pages: number) {
    this.used = Array.from({ length: pages }, () => false);
  }

  isFree(from: number, pages: number): boolean {
    return from + pages <= this.used.length && this.used.slice(from, from + pages).every((used) => !used);
  }

  hasBlock(pages: number, from = 0, to = this.used.length): boolean {
    for (let at = Math.ceil(from / pages) * pages; at + pages <= to; at += pages) {
      if (this.isFree(at, pages)) return true;
    }
    return false;
  }

  mark(blocks: BuddyBlocks, used: boolean): void {
    blocks.offsetPage.forEach((offset, i) => {
      for (let k = 0; k < 2 ** blocks.order[i]!; k++) {
        if (this.used[offset + k] === used)
          throw new Error(`page ${offset + k} is ${used ? 'used' : 'free'} already`);
        this.used[offset + k] = used;
      }
    });
  }

  get free(): number {
    return this.used.filter((used) => !used).length;
  }
}

/** For what is checked only under a condition: fails the property. */
function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

const FLAGS: Readonly<Record<string, number>> = {
  plain: 0,
  topdown: DRM_BUDDY_TOPDOWN_ALLOCATION,
  contiguous: DRM_BUDDY_CONTIGUOUS_ALLOCATION,
  trim: DRM_BUDDY_CONTIGUOUS_ALLOCATION,
  range: DRM_BUDDY_RANGE_ALLOCATION,
};

const step = fc.record({
  pages: fc.integer({ min: 1, max: 48 }),
  minOrder: fc.integer({ min: 0, max: 3 }),
  kind: fc.constantFrom('plain', 'topdown', 'contiguous', 'range', 'free', 'trim'),
  from: fc.integer({ min: 0, max: 150 }),
  length: fc.integer({ min: 1, max: 150 }),
});

test('agrees with a page bitmap on what is free, over any history', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 170 }), fc.array(step, { maxLength: 60 }), (pages, steps) => {
      const machine = new Machine();
      const buddy = new DrmBuddy(machine, { pages });
      const naive = new Naive(pages);
      const live: BuddyBlocks[] = [];
      for (const s of steps) {
        if (s.kind === 'free') {
          const blocks = live.splice(s.from % Math.max(live.length, 1), 1)[0];
          if (blocks === undefined) continue;
          naive.mark(blocks, false);
          buddy.freeList(blocks);
        } else {
          allocate(buddy, naive, live, s);
        }
        expect(buddy.freePages).toBe(naive.free);
        const largest = buddy.largestFreeOrder;
        expect(naive.hasBlock(2 ** (largest + 1))).toBe(false);
        must(largest < 0 || naive.hasBlock(2 ** largest), 'largestFreeOrder is too large');
      }
      for (const blocks of live) buddy.freeList(blocks);
      expect(buddy.freePages).toBe(pages);
      expect(buddy.largestFreeOrder).toBe(Math.floor(Math.log2(pages)));
      expect(machine.ledger.live()).toEqual([]);
    }),
    { seed: 3, numRuns: 300 },
  );
});

interface Step {
  pages: number;
  minOrder: number;
  kind: string;
  from: number;
  length: number;
}

function allocate(buddy: DrmBuddy, naive: Naive, live: BuddyBlocks[], s: Step): void {
  const flags = FLAGS[s.kind]!;
  const min = 2 ** s.minOrder;
  const [from, to] = s.kind === 'range' ? [s.from, s.from + s.length] : [0, buddy.pages];
  const blocks = new BuddyBlocks();
  const err = buddy.allocBlocks(from, to, s.pages, min, blocks, flags);
  const exact = s.kind === 'range' && from + s.pages === to;
  const contiguous = flags === DRM_BUDDY_CONTIGUOUS_ALLOCATION;
  if (to > buddy.pages || from + s.pages > to) {
    must(err === -EINVAL, `an impossible range gives ${err}`);
  } else if (err === 0) {
    checkBlocks(blocks, from, to, exact || contiguous ? s.pages : Math.ceil(s.pages / min) * min);
    must(exact || contiguous || blocks.order.every((order) => order >= s.minOrder), 'a block is too small');
    must(!(exact || contiguous) || isOneRun(blocks), 'the blocks are no run');
    naive.mark(blocks, true);
    live.push(blocks);
    if (s.kind === 'trim' && blocks.order.length === 1) trim(buddy, naive, blocks, 1 + (s.from % s.pages));
  } else {
    must(err === -ENOSPC && blocks.order.length === 0, `a failure gives ${err} and blocks`);
    must(!exact || !naive.isFree(from, s.pages), 'the exact range was free');
    const rounded = Math.max(2 ** Math.ceil(Math.log2(s.pages)), min);
    must(!contiguous || !naive.hasBlock(rounded), 'there was a block');
  }
}

function checkBlocks(blocks: BuddyBlocks, from: number, to: number, pages: number): void {
  must(blocks.pages === pages, `${blocks.pages} pages instead of ${pages}`);
  blocks.offsetPage.forEach((offset, i) => {
    const size = 2 ** blocks.order[i]!;
    must(offset % size === 0, `block at ${offset} is not aligned`);
    must(offset >= from && offset + size <= to, `block at ${offset} is outside`);
  });
}

function isOneRun(blocks: BuddyBlocks): boolean {
  const { offsetPage, order } = blocks;
  return offsetPage.every((offset, i) => i === 0 || offset === offsetPage[i - 1]! + 2 ** order[i - 1]!);
}

function trim(buddy: DrmBuddy, naive: Naive, blocks: BuddyBlocks, newPages: number): void {
  naive.mark(blocks, false);
  const first = blocks.offsetPage[0];
  const err = buddy.blockTrim(newPages, blocks);
  must(err === 0 && blocks.pages === newPages && blocks.offsetPage[0] === first, `trim to ${newPages}`);
  naive.mark(blocks, true);
}

describe('placement', () => {
  test('the smallest block that suffices is split, from below; from above with TOPDOWN', () => {
    const buddy = new DrmBuddy(new Machine(), { pages: 1024 + 512 + 4 });
    const low = new BuddyBlocks();
    buddy.allocBlocks(0, 0, 2, 1, low, 0);
    expect(low.offsetPage).toEqual([1536]);
    const high = new BuddyBlocks();
    buddy.allocBlocks(0, 0, 512, 1, high, DRM_BUDDY_TOPDOWN_ALLOCATION);
    expect(high.offsetPage).toEqual([1024]);
    const next = new BuddyBlocks();
    buddy.allocBlocks(0, 0, 512, 1, next, DRM_BUDDY_TOPDOWN_ALLOCATION);
    expect(next.offsetPage).toEqual([512]);
  });

  test('a contiguous run is aligned to its rounded size, and the rest is free again', () => {
    const buddy = new DrmBuddy(new Machine(), { pages: 64 });
    buddy.alloc(1);
    const run = buddy.alloc(5)!;
    expect([run.offsetPages, run.pages, buddy.freePages]).toEqual([8, 5, 58]);
    buddy.free(run);
    expect(buddy.freePages).toBe(63);
    expect(() => buddy.free(run)).toThrow(/freed twice/);
  });

  test('memory that is too full gives null and changes nothing', () => {
    const machine = new Machine();
    const buddy = new DrmBuddy(machine, { name: 'tile 0', pages: 8 });
    const run = buddy.alloc(4)!;
    expect(buddy.alloc(5)).toBe(null);
    expect(buddy.freePages).toBe(4);
    expect(machine.ledger.live()).toEqual([
      { kind: 'vram block', count: 1, detail: 'tile 0 page 0 order 2' },
    ]);
    buddy.free(run);
  });
});

test('an injected failure is -ENOSPC and changes nothing', () => {
  const machine = new Machine();
  const buddy = new DrmBuddy(machine, { pages: 8 });
  machine.faultInjection.failNth('pagemap.vram_blocks', 1);
  expect(buddy.alloc(1)).toBe(null);
  expect(buddy.freePages).toBe(8);
});

test('misuse is refused', () => {
  const buddy = new DrmBuddy(new Machine(), { pages: 8 });
  const blocks = new BuddyBlocks();
  expect(buddy.allocBlocks(0, 8, 0, 1, blocks, 0)).toBe(-EINVAL);
  expect(buddy.allocBlocks(0, 8, 1, 3, blocks, 0)).toBe(-EINVAL);
  expect(buddy.allocBlocks(4, 9, 1, 1, blocks, DRM_BUDDY_RANGE_ALLOCATION)).toBe(-EINVAL);
  expect(buddy.blockTrim(1, blocks)).toBe(-EINVAL);
  expect(() => new DrmBuddy(new Machine(), { pages: 0 })).toThrow(RangeError);
  buddy.allocBlocks(0, 8, 1, 1, blocks, 0);
  expect(() => buddy.allocBlocks(0, 8, 1, 1, blocks, 0)).toThrow(/holds blocks/);
});
