import type { FaultSite, Machine } from '@gpusvm/kernel';
import { AREA_ORDER, AREA_PAGES, AreaPool } from './area-pool.ts';
import { AreaTable } from './area-table.ts';
import { AreaTree } from './area-tree.ts';
import type { IovaAllocator } from './iova-allocator.ts';

// V8 folds a module's own constants, not imported ones (docs/decisions/0002-hot-paths.md).
const ORDER = AREA_ORDER;
const PAGES = AREA_PAGES;

/** log2 of the areas of a 48-bit address space. */
const DEPTH = 48 - 12 - AREA_ORDER;
/** Powers of two: a variable exponent would be a call of pow. */
const POW2: readonly number[] = Array.from({ length: 64 }, (_, k) => 2 ** k);

/**
 * Our own IOVA allocator: its cost does not depend on how many reservations there are or how they are scattered.
 *
 * An {@link AreaTree} finds the highest area, or block of areas, with an aligned free block that is large enough;
 * inside an area that is partly used, bitmaps of free blocks by order find the block. A reservation keeps the whole
 * block, a power of two, until space is short: then what blocks have beyond their reservations goes back, so that
 * nothing is refused that would fit. O(log of the address space) for alloc and free of any size.
 *
 * Unlike `linux-rbtree` there are no caches, placement differs from the kernel's, and freeing what is not a
 * reservation is warned about and ignored. Fault site `iova.alloc_node`.
 */
export class SegmentTree implements IovaAllocator {
  readonly name: 'segment-tree' = 'segment-tree';
  readonly #machine: Machine;
  readonly #tree: AreaTree = new AreaTree(DEPTH);
  readonly #pool: AreaPool = new AreaPool();
  /** Record of an area that is partly used, 0 = none. */
  readonly #records: AreaTable = new AreaTable(2 ** DEPTH);
  /** Pages of the reservation of at least one area that begins with an area; negative once its tail is given back. */
  readonly #large: AreaTable = new AreaTable(2 ** DEPTH);
  readonly #site: FaultSite;

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#site = machine.faultInjection.site('iova.alloc_node');
    this.reserve(0, 0);
  }

  alloc(pages: number, limitPage: number, _flushCaches: boolean, _cpu: number): number {
    if (this.#site.shouldFail() || pages > limitPage) return 0;
    const order = orderOf(pages);
    if (order > DEPTH + ORDER) return 0;
    const height = limitHeight(limitPage);
    let area = this.#tree.find(order, height);
    if (area < 0 && this.#giveTailsBack(height)) area = this.#tree.find(order, height);
    if (area < 0) return 0;
    if (order < ORDER) return area * PAGES + this.#allocInArea(area, order, pages);
    this.#tree.takeFound(area, order);
    this.#large.set(area, pages);
    return area * PAGES;
  }

  free(firstPage: number, pages: number, _cpu: number): void {
    const area = Math.floor(firstPage / PAGES);
    if (pages <= PAGES / 2) {
      const record = this.#records.get(area);
      const page = firstPage & (PAGES - 1);
      if (record !== 0 && pages > 0 && this.#pool.unmark(record, page, pages)) {
        const kept = this.#pool.isExact(record) ? pages : 1 << orderOf(pages);
        this.#freeInArea(area, record, page, page + kept);
        return;
      }
    } else if (firstPage === area * PAGES) {
      const held = this.#large.get(area);
      if (held === pages) {
        this.#large.set(area, 0);
        this.#tree.free(area, orderOf(pages));
        return;
      }
      if (held === -pages) {
        this.#large.set(area, 0);
        this.#freeRange(firstPage, firstPage + pages);
        return;
      }
    }
    this.#machine.warn('segment_tree_free: no such reservation', `page ${firstPage}, ${pages} pages`);
  }

  reserve(firstPage: number, lastPage: number): void {
    for (let page = firstPage; page <= lastPage; ) {
      const order = alignedOrder(page, lastPage + 1);
      this.#claim(page, order);
      page += POW2[order]!;
    }
  }

  poll(): void {
    // There are no caches to trim.
  }

  forEachLive(fn: (firstPage: number, lastPage: number) => void): void {
    const live: { first: number; pages: number }[] = [];
    this.#large.forEach((area, pages) => live.push({ first: area * PAGES, pages: Math.abs(pages) }));
    this.#records.forEach((area, record) => {
      this.#pool.forEachMarked(record, (page, pages) => live.push({ first: area * PAGES + page, pages }));
    });
    live.sort((a, b) => a.first - b.first);
    for (const { first, pages } of live) fn(first, first + pages - 1);
  }

  #allocInArea(area: number, order: number, pages: number): number {
    const pool = this.#pool;
    let record = this.#records.get(area);
    let from: number = ORDER;
    let index = 0;
    if (record === 0) {
      record = pool.take();
      this.#records.set(area, record);
      this.#tree.setFound(area, ORDER); // its upper half stays free for now
      pool.tell(record, ORDER);
    } else {
      from = pool.smallestFrom(record, order);
      index = pool.lastFree(record, from);
      pool.clearFree(record, from, index);
    }
    for (let o = from - 1; o >= order; o--) {
      pool.setFree(record, o, index * 2);
      index = index * 2 + 1;
    }
    const page = index << order;
    pool.mark(record, page, pages);
    const end = page + (1 << order);
    if (page + pages !== end && pool.isExact(record)) this.#freeInArea(area, record, page + pages, end);
    else this.#tellTree(area, record);
    return page;
  }

  /**
   * Give back what blocks of the first `2^height` areas have beyond their reservations; those areas are exact from
   * then on. False when there was nothing to give. Linear in the areas that are used there, each time that space is
   * short.
   */
  #giveTailsBack(height: number): boolean {
    const end = height < 0 ? 0 : POW2[height]!;
    const pool = this.#pool;
    let given = false;
    this.#records.forEach((area, record) => {
      if (area >= end || pool.isExact(record)) return;
      pool.setExact(record);
      pool.forEachMarked(record, (page, pages) => {
        const kept = 1 << orderOf(pages);
        if (kept === pages) return;
        given = true;
        this.#freeInArea(area, record, page + pages, page + kept);
      });
    });
    this.#large.forEach((area, pages) => {
      const kept = POW2[orderOf(Math.abs(pages))]!;
      if (area >= end || pages < 0 || kept === pages) return;
      this.#large.set(area, -pages);
      given = true;
      this.#freeRange(area * PAGES + pages, area * PAGES + kept);
    });
    return given;
  }

  /** Free `[from, to)` as aligned blocks. */
  #freeRange(from: number, to: number): void {
    for (let page = from; page < to; ) {
      const area = Math.floor(page / PAGES);
      const order = alignedOrder(page, to);
      if (order >= ORDER) {
        this.#tree.free(area, order);
        page += POW2[order]!;
        continue;
      }
      const end = Math.min(to, (area + 1) * PAGES);
      let record = this.#records.get(area);
      if (record === 0) {
        // Tail of a large reservation: the rest of the area is in use.
        record = this.#pool.take();
        this.#pool.setExact(record);
        this.#records.set(area, record);
      }
      this.#freeInArea(area, record, page - area * PAGES, end - area * PAGES);
      page = end;
    }
  }

  /** Free pages of one area, joining buddies; an area that is wholly free loses its record. */
  #freeInArea(area: number, record: number, from: number, to: number): void {
    const pool = this.#pool;
    for (let page = from; page < to; ) {
      let order = alignedOrder(page, to);
      let index = page >>> order;
      page += 1 << order;
      while (order < ORDER && pool.isFree(record, order, index ^ 1)) {
        pool.clearFree(record, order, index ^ 1);
        index >>>= 1;
        order++;
      }
      if (order === ORDER) {
        this.#records.set(area, 0);
        this.#tree.setArea(area, ORDER + 1, pool.told(record));
        pool.tell(record, 0);
        pool.release(record);
        return;
      }
      pool.setFree(record, order, index);
    }
    this.#tellTree(area, record);
  }

  #tellTree(area: number, record: number): void {
    const value = this.#pool.largest(record);
    const told = this.#pool.told(record);
    if (value === told) return;
    this.#tree.setArea(area, value, told);
    this.#pool.tell(record, value);
  }

  /** Take whatever is free of an aligned block out of use. */
  #claim(page: number, order: number): void {
    const area = Math.floor(page / PAGES);
    if (order >= ORDER) {
      if (this.#tree.claim(area, order)) return;
      if (order === ORDER && this.#records.get(area) === 0) return;
    } else if (this.#claimInArea(area, page & (PAGES - 1), order)) {
      return;
    }
    if (order === 0) return;
    this.#claim(page, order - 1);
    this.#claim(page + POW2[order - 1]!, order - 1);
  }

  #claimInArea(area: number, page: number, order: number): boolean {
    const pool = this.#pool;
    let record = this.#records.get(area);
    let from: number = ORDER;
    if (record === 0) {
      if (!this.#tree.claim(area, ORDER)) return true; // wholly in use already
      record = pool.take();
      this.#records.set(area, record);
    } else {
      from = order;
      while (from < ORDER && !pool.isFree(record, from, page >>> from)) from++;
      if (from === ORDER) return false;
      pool.clearFree(record, from, page >>> from);
    }
    for (let o = from - 1; o >= order; o--) pool.setFree(record, o, (page >>> o) ^ 1);
    this.#tellTree(area, record);
    return true;
  }
}

/** log2 of the areas below a limit: limits are masks, so what lies above the largest power of two is not used. */
function limitHeight(limitPage: number): number {
  const areas = Math.floor((limitPage + 1) / PAGES);
  return areas < 1 << DEPTH ? 31 - Math.clz32(areas) : DEPTH;
}

/** log2 of a number of pages, rounded up. */
function orderOf(pages: number): number {
  if (pages <= 1) return 0;
  return pages <= 2 ** 31 ? 32 - Math.clz32(pages - 1) : Math.ceil(Math.log2(pages));
}

/** Order of the largest aligned block that starts at `page` and ends at most at `end`; at most 31. */
function alignedOrder(page: number, end: number): number {
  const length = end - page;
  const fits = length < 2 ** 31 ? 31 - Math.clz32(length) : 31;
  const low = page | 0;
  const aligned = low === 0 ? 31 : 31 - Math.clz32(low & -low);
  return aligned < fits ? aligned : fits;
}
