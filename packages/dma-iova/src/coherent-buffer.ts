import type { Pfn } from '@gpusvm/kernel';
import type { PhysicalMemory } from './physical-memory.ts';

/** A naturally aligned block of `2^order` pages. */
export interface PageBlock {
  readonly pfn: Pfn;
  readonly order: number;
}

/** Memory of a coherent allocation: the device's address, and the CPU's access to it by page. */
export class CoherentBuffer {
  readonly dmaAddrBytes: number;
  readonly sizeBytes: number;
  /** 4 KiB pages that the device reaches. */
  readonly pages: number;
  /** @internal what it is made of, in order. */
  readonly blocks: readonly PageBlock[];
  readonly #memory: PhysicalMemory;

  constructor(
    memory: PhysicalMemory,
    dmaAddrBytes: number,
    sizeBytes: number,
    pages: number,
    blocks: readonly PageBlock[],
  ) {
    this.#memory = memory;
    this.dmaAddrBytes = dmaAddrBytes;
    this.sizeBytes = sizeBytes;
    this.pages = pages;
    this.blocks = blocks;
  }

  /** Physical page of page `index` of the buffer. */
  pfn(index: number): Pfn {
    let left = index;
    for (const { pfn, order } of this.blocks) {
      if (left >= 0 && left < 2 ** order) return pfn + left;
      left -= 2 ** order;
    }
    throw new RangeError(`page ${index} is not in a buffer of ${this.pages} pages`);
  }

  /** What the CPU reads in page `index`. */
  readTag(index: number): number {
    return this.#memory.readTag(this.pfn(index));
  }

  /** CPU write to page `index`. */
  writeTag(index: number, tag: number): void {
    this.#memory.writeTag(this.pfn(index), tag);
  }
}
