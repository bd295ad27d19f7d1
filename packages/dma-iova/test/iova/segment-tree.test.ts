import { Machine } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import { ContractRandom } from '../../src/contract/contract.ts';
import { SegmentTree } from '../../src/iova/segment-tree.ts';

const SPACE = 2 ** 15;
const LIMIT = SPACE - 1;

/** One byte a page, 1 = reserved: says whether an aligned block is free, by looking. */
class Naive {
  readonly used = new Uint8Array(SPACE);

  constructor() {
    this.used[0] = 1;
  }

  set(page: number, pages: number, value: number): void {
    for (let p = page; p < page + pages; p++) {
      if (this.used[p] === value) throw new Error(`page ${p} is ${value} already`);
      this.used[p] = value;
    }
  }

  fits(pages: number): boolean {
    const size = 2 ** Math.ceil(Math.log2(pages));
    for (let page = 0; page + size <= SPACE; page += size) {
      if (this.used.subarray(page, page + size).every((u) => u === 0)) return true;
    }
    return false;
  }
}

describe('segment-tree in a space that runs short', () => {
  it('refuses only what does not fit, tails of odd sizes included, in 40 runs of 400 operations', () => {
    let refused = 0;
    let odd = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const random = new ContractRandom(seed);
      const iova = new SegmentTree(new Machine());
      const naive = new Naive();
      const held: { page: number; pages: number }[] = [];
      for (let step = 0; step < 400; step++) {
        if (held.length > 0 && random.below(100) < 38) {
          const [gone] = held.splice(random.below(held.length), 1);
          iova.free(gone!.page, gone!.pages, 0);
          naive.set(gone!.page, gone!.pages, 0);
          continue;
        }
        const pages = 1 + random.below([40, 700, 3000, 9000][random.below(4)]!);
        const fits = naive.fits(pages);
        const page = iova.alloc(pages, LIMIT, true, 0);
        expect(page !== 0, `seed ${seed}, step ${step}: ${pages} pages`).toBe(fits);
        if (page === 0) {
          refused++;
          continue;
        }
        if ((pages & (pages - 1)) !== 0) odd++;
        naive.set(page, pages, 1);
        held.push({ page, pages });
      }
      const live: number[][] = [];
      iova.forEachLive((first, last) => live.push([first, last - first + 1]));
      expect(live).toEqual(held.map((h) => [h.page, h.pages]).sort((a, b) => a[0]! - b[0]!));
      for (const { page, pages } of held) iova.free(page, pages, 0);
      // Everything has joined again: the largest block below the limit is the upper half.
      expect(iova.alloc(SPACE / 2, LIMIT, true, 0)).toBe(SPACE / 2);
    }
    expect(refused).toBeGreaterThan(1000);
    expect(odd).toBeGreaterThan(5000);
  });

  it('keeps a whole power of two for an odd size until then', () => {
    const iova = new SegmentTree(new Machine());
    const a = iova.alloc(5000, LIMIT, true, 0);
    const b = iova.alloc(5000, LIMIT, true, 0);
    const c = iova.alloc(5000, LIMIT, true, 0);
    expect([a, b, c]).toEqual([24576, 16384, 8192]);
    // Only [0, 8192) is left, less page 0: the next 4096 pages still come from there, then from a tail.
    expect(iova.alloc(4096, LIMIT, true, 0)).toBe(4096);
    expect(iova.alloc(2048, LIMIT, true, 0)).toBe(2048);
    expect(iova.alloc(2048, LIMIT, true, 0)).toBe(24576 + 6144);
    iova.free(a, 5000, 0);
    iova.free(b, 5000, 0);
  });

  it('warns about a free that is not a reservation, whatever its size, and changes nothing', () => {
    const machine = new Machine();
    const iova = new SegmentTree(machine);
    const page = iova.alloc(5000, LIMIT, true, 0);
    const small = iova.alloc(3, LIMIT, true, 0);
    const wrong = [
      [page, 4999],
      [page, 8192],
      [page + 4096, 904],
      [page + 1, 5000],
      [small, 4],
      [small, 2],
      [small + 1, 3],
      [77, 1],
    ] as const;
    for (const [at, pages] of wrong) iova.free(at, pages, 0);
    expect(machine.warnings).toBe(wrong.length);
    const live: number[][] = [];
    iova.forEachLive((first, last) => live.push([first, last - first + 1]));
    expect(live).toEqual([
      [small, 3],
      [page, 5000],
    ]);
  });
});
