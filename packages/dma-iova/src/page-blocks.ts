import { type FaultSite, type Machine, NotImplemented, type Pfn, type Tracepoint } from '@gpusvm/kernel';
import { Buddy, MAX_PAGE_ORDER } from './buddy.ts';
import { NO_PFN } from './physical-memory.ts';
import { PAGE_ALLOC, PAGE_FREE, type PageBlockArgs, type PageBlockEvent } from './tracepoints.ts';

/**
 * Which pages of a memory are in use: a buddy allocator, a byte a page against double frees, the fault site and
 * the ledger's report. {@link TagMemory} and {@link ByteMemory} share it.
 */
export class PageBlocks {
  readonly totalPages: number;
  readonly #buddy: Buddy;
  /** 1 = in use. Blocks may be returned in parts, so use is known by page, not by block. */
  readonly #inUse: Uint8Array;
  readonly #site: FaultSite;
  readonly #allocPoint: Tracepoint<PageBlockEvent, PageBlockArgs>;
  readonly #freePoint: Tracepoint<PageBlockEvent, PageBlockArgs>;

  constructor(machine: Machine, pages: number) {
    if (!Number.isInteger(pages) || pages < 2)
      throw new RangeError(`memory needs at least 2 pages, got ${pages}`);
    if (pages >= 2 ** 31)
      throw new NotImplemented(`memory of ${pages} pages: the allocator counts in 31 bits`);
    this.totalPages = pages;
    this.#buddy = new Buddy(pages);
    this.#buddy.addRange(1, pages);
    this.#inUse = new Uint8Array(pages);
    this.#site = machine.faultInjection.site('memory.alloc_pages');
    this.#allocPoint = machine.trace.point(PAGE_ALLOC);
    this.#freePoint = machine.trace.point(PAGE_FREE);
    machine.ledger.register(() => {
      const count = pages - 1 - this.#buddy.freeUnits;
      return [{ kind: 'physical page', count, detail: count === 0 ? '' : this.#firstInUse() }];
    });
  }

  get freePages(): number {
    return this.#buddy.freeUnits;
  }

  alloc(order: number): Pfn {
    if (order > MAX_PAGE_ORDER || this.#site.shouldFail()) return NO_PFN;
    const pfn = this.#buddy.alloc(order);
    if (pfn < 0) return NO_PFN;
    this.#take(pfn, order);
    return pfn;
  }

  claim(pfn: Pfn, order: number): boolean {
    this.#check(pfn, order);
    if (!this.#buddy.claim(pfn, order)) return false;
    this.#take(pfn, order);
    return true;
  }

  free(pfn: Pfn, order: number): void {
    this.#check(pfn, order);
    const end = pfn + (1 << order);
    const free = this.#firstFree(pfn, end);
    if (free >= 0) throw new RangeError(`page ${free} is free already (freeing ${pfn}, order ${order})`);
    if (order === 0) this.#inUse[pfn] = 0;
    else this.#inUse.fill(0, pfn, end);
    this.#buddy.free(pfn, order);
    if (this.#freePoint.enabled) this.#freePoint.emit(pfn, 1 << order);
  }

  /** First page of a block that is not in use, -1 for none. A search over bytes is faster than a loop from 32 on. */
  #firstFree(pfn: Pfn, end: Pfn): Pfn {
    if (end - pfn >= 32) {
      const at = this.#inUse.subarray(pfn, end).indexOf(0);
      return at < 0 ? -1 : pfn + at;
    }
    for (let page = pfn; page < end; page++) if (this.#inUse[page] !== 1) return page;
    return -1;
  }

  /** Visit the runs of pages that are not in use. One look at every page. */
  forEachFree(visit: (firstPfn: Pfn, pages: number) => void): void {
    for (let first = this.#inUse.indexOf(0, 1); first >= 0; ) {
      const used = this.#inUse.indexOf(1, first);
      const end = used < 0 ? this.totalPages : used;
      visit(first, end - first);
      first = used < 0 ? -1 : this.#inUse.indexOf(0, used);
    }
  }

  /** Whether a page is in use. */
  isUsed(pfn: Pfn): boolean {
    return this.#inUse[pfn] === 1;
  }

  #take(pfn: Pfn, order: number): void {
    if (order === 0) this.#inUse[pfn] = 1;
    else this.#inUse.fill(1, pfn, pfn + (1 << order));
    if (this.#allocPoint.enabled) this.#allocPoint.emit(pfn, 1 << order);
  }

  #check(pfn: Pfn, order: number): void {
    if (order < 0 || order > MAX_PAGE_ORDER)
      throw new RangeError(`order ${order} is not in [0, ${MAX_PAGE_ORDER}]`);
    const size = 1 << order;
    if (!(pfn >= 1) || pfn + size > this.totalPages || (pfn & (size - 1)) !== 0) {
      throw new RangeError(`pfn ${pfn} is not an aligned block of order ${order} in [1, ${this.totalPages})`);
    }
  }

  #firstInUse(): string {
    const first: number[] = [];
    for (let at = this.#inUse.indexOf(1); at >= 0 && first.length < 4; at = this.#inUse.indexOf(1, at + 1)) {
      first.push(at);
    }
    return `pfn ${first.join(', ')}${first.length === 4 ? ', ...' : ''}`;
  }
}
