import type { Pfn } from '@gpusvm/kernel';
import type { DramView } from './dram-view.ts';

/** "No page" in arrays of page-frame numbers. Pfn 0 is never handed out. */
export const NO_PFN: -1 = -1;

/** What a read that hits no memory returns instead of a content tag. */
export const NO_TAG: -1 = -1;

/**
 * The seam between the DMA layer and memory: simulated ({@link TagMemory}, {@link ByteMemory}) or native.
 *
 * Contents are known by one number a page, its tag, so that a terabyte of traffic can be verified without moving
 * bytes. Memory that holds real bytes derives the tag from them.
 */
export interface PhysicalMemory {
  /** Pages of this memory; valid page-frame numbers are `[1, totalPages)`. */
  readonly totalPages: number;
  /** Pages that are free now. */
  readonly freePages: number;
  /**
   * Take a naturally aligned block of `2^order` pages (alloc_pages). Its tags are 0.
   *
   * @returns the first pfn, or {@link NO_PFN} when memory is exhausted or fault site `memory.alloc_pages` says so.
   */
  allocPages(order: number): Pfn;
  /**
   * Give back `2^order` pages (__free_pages); a block may be returned in parts.
   *
   * @throws RangeError when a page of it is free already or lies outside of the memory.
   */
  freePagesBlock(pfn: Pfn, order: number): void;
  /** Take exactly this block, for placing captured memory. False when a page of it is in use. */
  claimPages(pfn: Pfn, order: number): boolean;
  /** Visit the runs of pages that are free; absent where only the operating system knows (native memory). */
  forEachFree?(visit: (firstPfn: Pfn, pages: number) => void): void;
  /** Content tag of a page: finite, not negative; 0 for a fresh page. */
  readTag(pfn: Pfn): number;
  /** Replace a page's content by what `tag` stands for. */
  writeTag(pfn: Pfn, tag: number): void;
  /** Smallest piece that {@link copy} and {@link zero} tell apart: 1, or 4096 for a memory of tags. */
  readonly unitBytes: number;
  /** Copy bytes between two physical addresses; a tag-only memory copies the tags of the pages touched. */
  copy(toBytes: number, fromBytes: number, lengthBytes: number): void;
  /** Clear bytes; a tag-only memory clears the tags of pages that are covered whole. */
  zero(physBytes: number, lengthBytes: number): void;
  /** What devices that do not snoop see of it; absent where real hardware decides that (native memory). */
  readonly dram?: DramView;
}
