import { PageCounts } from './page-counts.ts';

/** The page was allocated, or freed, while the sanitizer watched; 0 = it was not seen. */
export const FRAME_USED: 1 = 1;
export const FRAME_FREE: 2 = 2;

const STATE = 3;
/** One leaf, above the state. */
const LEAF = 4;

/** Shadow of physical memory by page frame, over all devices of a machine. */
export class Frames {
  /** State of a frame in the low bits, above them the leaves of IO page tables that map it. */
  readonly #words = new PageCounts();
  /** Mappings with a record that no leaf shows: by devices that are not translated, or bounced. */
  readonly others: PageCounts = new PageCounts();
  /** Mappings that write and that need cache maintenance or a copy back. */
  readonly writers: PageCounts = new PageCounts();
  /** Record of the declared buffer that a frame belongs to; 0 = none declared. */
  readonly buffer: PageCounts = new PageCounts();
  /** Whether any buffer was declared. */
  declared = false;

  /** FRAME_USED, FRAME_FREE or 0. */
  state(pfn: number): number {
    return this.#words.get(pfn) & STATE;
  }

  setState(firstPfn: number, pages: number, state: number): void {
    this.#words.setBits(firstPfn, pages, STATE, state);
  }

  /** First frame of a range that is free, or -1. */
  firstFree(firstPfn: number, pages: number): number {
    if (pages === 1) return this.state(firstPfn) === FRAME_FREE ? firstPfn : -1;
    return this.#words.first(firstPfn, pages, STATE, FRAME_FREE, true);
  }

  /** Leaves that map a frame (the iommu refcount of CONFIG_IOMMU_DEBUG_PAGEALLOC). */
  leaves(pfn: number): number {
    return this.#words.get(pfn) >> 2;
  }

  addLeaves(firstPfn: number, pages: number, delta: number): void {
    this.#words.add(firstPfn, pages, delta * LEAF);
  }

  /** One leaf less for each frame of a part of a list. */
  dropEach(pfns: Float64Array, from: number, to: number): void {
    this.#words.addEach(pfns, from, to, -LEAF);
  }

  /** One leaf more for a frame that is not free; false, and nothing changed, when it is. */
  takeLeaf(pfn: number): boolean {
    return this.#words.addUnless(pfn, LEAF, STATE, FRAME_FREE);
  }

  /** First frame of a range that a leaf maps, or -1. */
  firstMapped(firstPfn: number, pages: number): number {
    return this.#words.first(firstPfn, pages, ~STATE, 0, false);
  }
}
