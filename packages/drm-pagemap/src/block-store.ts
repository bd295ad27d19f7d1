import { ilog2 } from '@gpusvm/kernel';
import { FreeBlocks } from './free-blocks.ts';

/** State of the page that heads a block. */
const NONE = 0;
const FREE = 64;
const ALLOCATED = 128;
const ORDER = 63;

/**
 * Every block of a buddy allocator, free and allocated, as one byte a page and one bit per possible block: splitting
 * and merging, without a policy. A block of order o at offset x has its buddy at `x ^ 2^o`.
 */
export class BlockStore {
  readonly name: string;
  readonly pages: number;
  readonly maxOrder: number;
  freePages: number;
  /** Blocks that are allocated now. */
  allocated = 0;
  /** By page: what block begins here. */
  readonly #head: Uint8Array;
  /** Free blocks by order, as block numbers `offset / 2^order`. */
  readonly free: FreeBlocks[] = [];

  /** All free; several roots when the size is no power of two. */
  constructor(name: string, pages: number) {
    this.name = name;
    this.pages = pages;
    this.freePages = pages;
    this.maxOrder = ilog2(pages);
    this.#head = new Uint8Array(pages);
    for (let order = 0; order <= this.maxOrder; order++) {
      this.free.push(new FreeBlocks(Math.floor(pages / 2 ** order)));
    }
    let offset = 0;
    for (let order = this.maxOrder; order >= 0; order--) {
      if ((pages & (1 << order)) === 0) continue;
      this.#addFree(offset, order);
      offset += 1 << order;
    }
  }

  /** Order of the free block that contains a page, -1 when the page is in use. */
  freeOrderAround(page: number): number {
    for (let order = 0; order <= this.maxOrder; order++) {
      const start = page - (page & ((1 << order) - 1));
      if (this.#head[start] === (FREE | order)) return order;
    }
    return -1;
  }

  /** Take the block at `at` out of the free block at `start`; what is beside it becomes free blocks. */
  take(start: number, order: number, at: number, wanted: number): number {
    this.free[order]!.delete(start >>> order);
    this.#head[start] = NONE;
    this.freePages -= 1 << order;
    while (order > wanted) {
      const half = 1 << --order;
      if (at < start + half) {
        this.#addFree(start + half, order);
        this.freePages += half;
      } else {
        this.#addFree(start, order);
        this.freePages += half;
        start += half;
      }
    }
    this.#head[at] = ALLOCATED | wanted;
    this.allocated++;
    return at;
  }

  /**
   * Give a block back and merge it with free buddies.
   *
   * @throws RangeError when no such block is allocated.
   */
  release(offset: number, order: number): void {
    if (this.#head[offset] !== (ALLOCATED | order))
      throw new RangeError(`${this.name}: no allocated block of order ${order} at page ${offset}`);
    this.allocated--;
    this.freePages += 1 << order;
    this.#head[offset] = NONE;
    while (order < this.maxOrder) {
      const buddy = offset ^ (1 << order);
      if (buddy >= this.pages || this.#head[buddy] !== (FREE | order)) break;
      this.free[order]!.delete(buddy >>> order);
      this.#head[buddy] = NONE;
      offset &= ~(1 << order);
      order++;
    }
    this.#addFree(offset, order);
  }

  /** The first allocated blocks, for a leak report. */
  report(): string {
    const parts: string[] = [];
    for (let page = 0; page < this.pages && parts.length < 4; page++) {
      const head = this.#head[page]!;
      if (head >= ALLOCATED) parts.push(`${this.name} page ${page} order ${head & ORDER}`);
    }
    return parts.join(', ');
  }
  #addFree(offset: number, order: number): void {
    this.#head[offset] = FREE | order;
    this.free[order]!.add(offset >>> order);
  }
}
