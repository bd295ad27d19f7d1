import type { FaultSite, Machine } from '@gpusvm/kernel';
import { AREA_ORDER, AREA_PAGES, AreaPool } from './area-pool.ts';
import { AreaRecords } from './area-records.ts';
import { AreaTree } from './area-tree.ts';
import type { IovaAllocator } from './iova-allocator.ts';

/** log2 of the areas of a 48-bit address space. */
const DEPTH = 48 - 12 - AREA_ORDER;
/** Powers of two: a variable exponent would be a call of pow. */
const POW2: readonly number[] = Array.from({ length: 64 }, (_, k) => 2 ** k);

/**
 * Our own IOVA allocator: its cost does not depend on how many reservations there are or how they are scattered.
 *
 * An {@link AreaTree} finds the highest area, or block of areas, with an aligned free block that is large enough;
 * inside an area that is partly used, bitmaps of free blocks by order find the block. What a block has beyond the
 * reservation goes back. O(log of the address space) for alloc and free of any size.
 *
 * Unlike `linux-rbtree` there are no caches, placement differs from the kernel's, and freeing what is not a
 * reservation is warned about and ignored. Fault site `iova.alloc_node`.
 */
export class SegmentTree implements IovaAllocator {
  readonly name: 'segment-tree' = 'segment-tree';
  readonly #machine: Machine;
  readonly #tree: AreaTree = new AreaTree(DEPTH);
  readonly #pool: AreaPool = new AreaPool();
  /** Record of an area that is partly used. */
  readonly #records: AreaRecords = new AreaRecords(2 ** DEPTH);
  /** Reservations of at least one area: first page to pages. */
  readonly #large = new Map<number, number>();
  readonly #site: FaultSite;

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#site = machine.faultInjection.site('iova.alloc_node');
    this.reserve(0, 0);
  }

  alloc(pages: number, limitPage: number, _flushCaches: boolean, _cpu: number): number {
    if (this.#site.shouldFail() || pages > limitPage) return 0;
    const order = orderOf(pages);
    const limitHeight = limitOf(limitPage);
    if (order < AREA_ORDER) return this.#allocSmall(order, pages, limitHeight);
    const area = order > DEPTH + AREA_ORDER ? -1 : this.#tree.find(order, limitHeight);
    if (area < 0) return 0;
    this.#tree.takeFound(area, order);
    const page = area * AREA_PAGES;
    this.#large.set(page, pages);
    if (pages !== POW2[order]!) this.#freeRange(page + pages, page + POW2[order]!);
    return page;
  }

  free(firstPage: number, pages: number, _cpu: number): void {
    const small = pages <= AREA_PAGES / 2;
    if (small) {
      const area = Math.floor(firstPage / AREA_PAGES);
      const record = this.#records.get(area);
      const page = firstPage & (AREA_PAGES - 1);
      if (record >= 0 && pages > 0 && this.#pool.unmark(record, page, pages)) {
        this.#freeInArea(area, record, page, page + pages);
        return;
      }
    } else if (this.#large.get(firstPage) === pages) {
      this.#large.delete(firstPage);
      this.#freeRange(firstPage, firstPage + pages);
      return;
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
    for (const [first, pages] of this.#large) live.push({ first, pages });
    this.#records.forEach((area, record) => {
      this.#pool.forEachMarked(record, (page, pages) =>
        live.push({ first: area * AREA_PAGES + page, pages }),
      );
    });
    live.sort((a, b) => a.first - b.first);
    for (const { first, pages } of live) fn(first, first + pages - 1);
  }

  #allocSmall(order: number, pages: number, limitHeight: number): number {
    const area = this.#tree.find(order, limitHeight);
    if (area < 0) return 0;
    const pool = this.#pool;
    let record = this.#records.get(area);
    let from: number = AREA_ORDER;
    let index = 0;
    if (record < 0) {
      record = pool.take();
      this.#records.set(area, record);
      this.#tree.setFound(area, AREA_ORDER); // its upper half stays free for now
      pool.tell(record, AREA_ORDER);
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
    if (page + pages !== end) this.#freeInArea(area, record, page + pages, end);
    else this.#tellTree(area, record);
    return area * AREA_PAGES + page;
  }

  /** Free `[from, to)` as aligned blocks. */
  #freeRange(from: number, to: number): void {
    for (let page = from; page < to; ) {
      const area = Math.floor(page / AREA_PAGES);
      const order = alignedOrder(page, to);
      if (order >= AREA_ORDER) {
        this.#tree.free(area, order);
        page += POW2[order]!;
        continue;
      }
      const end = Math.min(to, (area + 1) * AREA_PAGES);
      let record = this.#records.get(area);
      if (record < 0) {
        // Head or tail of a large reservation: the rest of the area is in use.
        record = this.#pool.take();
        this.#records.set(area, record);
      }
      this.#freeInArea(area, record, page - area * AREA_PAGES, end - area * AREA_PAGES);
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
      while (order < AREA_ORDER && pool.isFree(record, order, index ^ 1)) {
        pool.clearFree(record, order, index ^ 1);
        index >>>= 1;
        order++;
      }
      if (order === AREA_ORDER) {
        this.#records.delete(area);
        this.#tree.setArea(area, AREA_ORDER + 1, pool.told(record));
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
    const area = Math.floor(page / AREA_PAGES);
    if (order >= AREA_ORDER) {
      if (this.#tree.claim(area, order)) return;
      if (order === AREA_ORDER && this.#records.get(area) < 0) return;
    } else if (this.#claimInArea(area, page & (AREA_PAGES - 1), order)) {
      return;
    }
    if (order === 0) return;
    this.#claim(page, order - 1);
    this.#claim(page + POW2[order - 1]!, order - 1);
  }

  #claimInArea(area: number, page: number, order: number): boolean {
    const pool = this.#pool;
    let record = this.#records.get(area);
    let from: number = AREA_ORDER;
    if (record < 0) {
      if (!this.#tree.claim(area, AREA_ORDER)) return true; // wholly in use already
      record = pool.take();
      this.#records.set(area, record);
    } else {
      from = order;
      while (from < AREA_ORDER && !pool.isFree(record, from, page >>> from)) from++;
      if (from === AREA_ORDER) return false;
      pool.clearFree(record, from, page >>> from);
    }
    for (let o = from - 1; o >= order; o--) pool.setFree(record, o, (page >>> o) ^ 1);
    this.#tellTree(area, record);
    return true;
  }
}

/** log2 of the areas below a limit: limits are masks, so what lies above the largest power of two is not used. */
function limitOf(limitPage: number): number {
  const areas = Math.floor((limitPage + 1) / AREA_PAGES);
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
