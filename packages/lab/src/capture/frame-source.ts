import { uniformInt } from 'pure-rand/distribution/uniformInt';
import type { RandomGenerator } from 'pure-rand/types/RandomGenerator';

/** Pages of the largest buddy block (order 10, MAX_PAGE_ORDER of Linux on x86-64). */
export const BLOCK_PAGES = 1024;

/**
 * Chance, out of the sum, that the free chunks of a block have order 0, 1, ... 10. It describes a machine that has run
 * for a while: most blocks give short runs, a few are whole.
 */
const FREE_ORDER_WEIGHTS: readonly number[] = [20, 12, 10, 8, 6, 5, 4, 3, 2, 2, 2];

/**
 * A model of free physical memory: hands out each page at most once.
 *
 * @remarks
 * Memory is cut in blocks of 1024 pages that are visited in a seeded order. In a block that serves single pages, every
 * second chunk of a drawn size is free, as the rest belongs to others. Larger folios come from blocks of their own.
 */
export class FrameSource {
  readonly #rng: RandomGenerator;
  readonly #blocks: number;
  readonly #step: number;
  #block: number;
  #single = { next: 0, chunkEnd: 0, blockEnd: 0, chunkPages: 1 };
  #large = { next: 0, blockEnd: 0 };

  /**
   * @param rng - source of every choice
   * @param blocks - blocks of physical memory; each may be visited once
   */
  constructor(rng: RandomGenerator, blocks: number) {
    this.#rng = rng;
    this.#blocks = blocks;
    this.#block = uniformInt(rng, 0, blocks - 1);
    let step = uniformInt(rng, 1, blocks);
    // A step without a common divisor visits every block once.
    while (greatestCommonDivisor(step, blocks) !== 1) step++;
    this.#step = step;
  }

  /** @returns the pfn of a free page: mostly the one after the previous */
  takePage(): number {
    const single = this.#single;
    if (single.next === single.chunkEnd) this.#nextChunk();
    return single.next++;
  }

  /**
   * @param order - 1 to 9
   * @returns the first pfn of a free folio, aligned to its size
   */
  takeFolio(order: number): number {
    const large = this.#large;
    const pages = 2 ** order;
    let pfn = Math.ceil(large.next / pages) * pages;
    if (pfn + pages > large.blockEnd) {
      pfn = this.#nextBlock();
      large.blockEnd = pfn + BLOCK_PAGES;
    }
    large.next = pfn + pages;
    return pfn;
  }

  #nextChunk(): void {
    const single = this.#single;
    single.next = single.chunkEnd + single.chunkPages;
    if (single.next >= single.blockEnd) {
      single.next = this.#nextBlock();
      single.blockEnd = single.next + BLOCK_PAGES;
      single.chunkPages = 2 ** this.#drawFreeOrder();
    }
    single.chunkEnd = single.next + single.chunkPages;
  }

  #nextBlock(): number {
    this.#block = (this.#block + this.#step) % this.#blocks;
    return this.#block * BLOCK_PAGES;
  }

  #drawFreeOrder(): number {
    const sum = FREE_ORDER_WEIGHTS.reduce((total, weight) => total + weight, 0);
    let ticket = uniformInt(this.#rng, 1, sum);
    for (const [order, weight] of FREE_ORDER_WEIGHTS.entries()) {
      ticket -= weight;
      if (ticket <= 0) return order;
    }
    return 0;
  }
}

function greatestCommonDivisor(a: number, b: number): number {
  let [larger, smaller] = [a, b];
  while (smaller !== 0) [larger, smaller] = [smaller, larger % smaller];
  return larger;
}
