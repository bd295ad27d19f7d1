import {
  EINVAL,
  ENOSPC,
  type Errno,
  type FaultSite,
  ilog2,
  type Machine,
  roundupPowOfTwo,
} from '@gpusvm/kernel';
import { BlockStore } from './block-store.ts';
import { BuddyBlocks, DrmBuddyBlock } from './buddy-blocks.ts';

/** Only blocks inside `[startPage, endPage)` (DRM_BUDDY_RANGE_ALLOCATION). */
export const DRM_BUDDY_RANGE_ALLOCATION: 1 = 1;
/** Highest offsets first (DRM_BUDDY_TOPDOWN_ALLOCATION). */
export const DRM_BUDDY_TOPDOWN_ALLOCATION: 2 = 2;
/** One run of pages (DRM_BUDDY_CONTIGUOUS_ALLOCATION). */
export const DRM_BUDDY_CONTIGUOUS_ALLOCATION: 4 = 4;

/**
 * The VRAM allocator (drm_buddy; gpu_buddy in 7.3) over 4K pages: naturally aligned blocks of powers of two, several
 * roots when the size is none. A block of order o at offset x has its buddy at `x ^ 2^o`. The smallest block that
 * suffices is split, at the lowest offset (highest for TOPDOWN). Nothing sleeps; the caller locks.
 *
 * One byte a page plus one bit per possible block; an allocation costs the number of orders, not of blocks.
 */
export class DrmBuddy {
  readonly name: string;
  readonly pages: number;
  readonly #store: BlockStore;
  readonly #site: FaultSite;

  /** @param o - size in pages, and a name for reports (default `vram`). */
  constructor(machine: Machine, o: { readonly name?: string; readonly pages: number }) {
    if (!Number.isInteger(o.pages) || o.pages < 1 || o.pages > 2 ** 30)
      throw new RangeError(`a buddy allocator needs pages, got ${o.pages}`);
    this.name = o.name ?? 'vram';
    this.pages = o.pages;
    this.#store = new BlockStore(this.name, o.pages);
    this.#site = machine.faultInjection.site('pagemap.vram_blocks');
    machine.ledger.register(() => [
      {
        kind: 'vram block',
        count: this.allocatedBlocks,
        detail: this.allocatedBlocks > 0 ? this.#store.report() : '',
      },
    ]);
  }

  /** Pages that are free now. */
  get freePages(): number {
    return this.#store.freePages;
  }

  /** Live blocks. */
  get allocatedBlocks(): number {
    return this.#store.allocated;
  }

  /**
   * Allocate (drm_buddy_alloc_blocks). With RANGE and `pages` equal to the range's size exactly that range is taken.
   * CONTIGUOUS rounds up to a power of two, which also aligns, and gives the rest back.
   *
   * @param startPage - with RANGE: first page allowed.
   * @param endPage - with RANGE: one behind the last.
   * @param pages - wanted.
   * @param minBlockPages - power of two; no block is smaller, except after CONTIGUOUS or an exact range.
   * @param out - empty; filled.
   * @param flags - DRM_BUDDY_* bits.
   * @returns 0; -EINVAL (sizes that are no sizes, range outside or too small); -ENOSPC, and then nothing changed.
   */
  allocBlocks(
    startPage: number,
    endPage: number,
    pages: number,
    minBlockPages: number,
    out: BuddyBlocks,
    flags: number,
  ): Errno {
    const ranged = (flags & DRM_BUDDY_RANGE_ALLOCATION) !== 0;
    const from = ranged ? startPage : 0;
    const to = ranged ? endPage : this.pages;
    if (out.order.length > 0) throw new Error('allocation into a list that holds blocks');
    if (!(pages > 0) || !isPowerOfTwo(minBlockPages)) return -EINVAL;
    if (from < 0 || to > this.pages || from + pages > to) return -EINVAL;
    if (this.#site.shouldFail()) return -ENOSPC;
    if (ranged && from + pages === to) return this.#allocExact(from, to, out);
    const contiguous = (flags & DRM_BUDDY_CONTIGUOUS_ALLOCATION) !== 0;
    const size = contiguous ? roundupPowOfTwo(pages) : Math.ceil(pages / minBlockPages) * minBlockPages;
    const minOrder = ilog2(contiguous ? Math.max(size, minBlockPages) : minBlockPages);
    const err = this.#allocOrders(from, to, Math.max(size, 1 << minOrder), minOrder, out, flags);
    if (err === 0 && contiguous) this.blockTrim(pages, out);
    return err;
  }

  /**
   * One run of pages, aligned to the next power of two of its size: what device memory for SVM wants, because then a 2M
   * range is one large GPU page. Does not sleep.
   *
   * @returns null when there is none.
   */
  alloc(pages: number): DrmBuddyBlock | null {
    const blocks = new BuddyBlocks();
    const err = this.allocBlocks(0, this.pages, pages, 1, blocks, DRM_BUDDY_CONTIGUOUS_ALLOCATION);
    return err === 0 ? new DrmBuddyBlock(blocks) : null;
  }

  /**
   * Give a run back.
   *
   * @throws RangeError the second time.
   */
  free(block: DrmBuddyBlock): void {
    if (block.blocks.order.length === 0)
      throw new RangeError(`${this.name}: page ${block.offsetPages} freed twice`);
    this.freeList(block.blocks);
  }

  /** Give all blocks back and empty the list (drm_buddy_free_list); free buddies merge. */
  freeList(blocks: BuddyBlocks): void {
    for (let i = 0; i < blocks.order.length; i++)
      this.#store.release(blocks.offsetPage[i]!, blocks.order[i]!);
    blocks.clear();
  }

  /**
   * Keep the first pages of a single block and give the rest back (drm_buddy_block_trim); the list may hold several
   * blocks afterwards.
   *
   * @returns 0; -EINVAL when the list is not one block of at least that many pages.
   */
  blockTrim(newPages: number, blocks: BuddyBlocks): Errno {
    if (blocks.order.length !== 1) return -EINVAL;
    const offset = blocks.offsetPage[0]!;
    const size = 1 << blocks.order[0]!;
    if (!(newPages > 0) || newPages > size) return -EINVAL;
    if (newPages === size) return 0;
    this.freeList(blocks);
    return this.#allocExact(offset, offset + newPages, blocks);
  }

  /** Largest order that is free now, -1 when nothing is. */
  get largestFreeOrder(): number {
    for (let order = this.#store.maxOrder; order >= 0; order--)
      if (this.#store.free[order]!.count > 0) return order;
    return -1;
  }

  /** From large blocks to small ones until the size is covered; all or nothing. */
  #allocOrders(
    from: number,
    to: number,
    size: number,
    minOrder: number,
    out: BuddyBlocks,
    flags: number,
  ): Errno {
    let left = size;
    let order = Math.min(ilog2(size), this.#store.maxOrder);
    while (left > 0) {
      order = Math.min(order, ilog2(left));
      const offset = order < minOrder ? -1 : this.#takeBlock(from, to, order, flags);
      if (offset >= 0) {
        out.push(offset, order);
        left -= 1 << order;
      } else if (--order < minOrder) {
        this.freeList(out);
        return -ENOSPC;
      }
    }
    return 0;
  }

  /** Take one block inside a range, -1 when there is none. */
  #takeBlock(from: number, to: number, order: number, flags: number): number {
    const size = 1 << order;
    if ((flags & DRM_BUDDY_RANGE_ALLOCATION) !== 0) {
      for (let o = order; o <= this.#store.maxOrder; o++) {
        for (
          let b = this.#store.free[o]!.next(from >>> o);
          b >= 0 && b << o < to;
          b = this.#store.free[o]!.next(b + 1)
        ) {
          const at = Math.max(b << o, Math.ceil(from / size) * size);
          if (at + size <= Math.min((b + 1) << o, to)) return this.#store.take(b << o, o, at, order);
        }
      }
      return -1;
    }
    if ((flags & DRM_BUDDY_TOPDOWN_ALLOCATION) !== 0) return this.#takeHighest(order);
    for (let o = order; o <= this.#store.maxOrder; o++) {
      const b = this.#store.free[o]!.next(0);
      if (b >= 0) return this.#store.take(b << o, o, b << o, order);
    }
    return -1;
  }

  /** The free block with the highest offset that suffices (get_maxblock), its upper end. */
  #takeHighest(order: number): number {
    let best = -1;
    let bestOrder = 0;
    for (let o = order; o <= this.#store.maxOrder; o++) {
      const b = this.#store.free[o]!.last();
      if (b >= 0 && b << o > best) {
        best = b << o;
        bestOrder = o;
      }
    }
    if (best < 0) return -1;
    return this.#store.take(best, bestOrder, best + (1 << bestOrder) - (1 << order), order);
  }

  /** Take exactly `[from, to)` as aligned blocks as large as possible; all or nothing. */
  #allocExact(from: number, to: number, out: BuddyBlocks): Errno {
    for (let page = from; page < to; ) {
      const holder = this.#store.freeOrderAround(page);
      if (holder < 0) {
        this.freeList(out);
        return -ENOSPC;
      }
      let order = holder;
      while ((page & ((1 << order) - 1)) !== 0 || page + (1 << order) > to) order--;
      this.#store.take(page - (page & ((1 << holder) - 1)), holder, page, order);
      out.push(page, order);
      page += 1 << order;
    }
    return 0;
  }
}

function isPowerOfTwo(n: number): boolean {
  return Number.isInteger(n) && n > 0 && roundupPowOfTwo(n) === n;
}
