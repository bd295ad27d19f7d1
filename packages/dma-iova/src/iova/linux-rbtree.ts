import { type FaultSite, type Machine, roundupPowOfTwo } from '@gpusvm/kernel';
import { C_RB_ALLOC, C_RB_FREE, C_RB_STEP, dmaCounters } from '../dma-counters.ts';
import type { IovaAllocator } from './iova-allocator.ts';
import { checkRangeTree } from './rb-check.ts';
import { RangeTree } from './rb-tree.ts';
import { Rcache, RCACHE_BINS } from './rcache.ts';

// V8 folds a module's own constants, not imported ones.
const RB_ALLOC = C_RB_ALLOC;
const RB_FREE = C_RB_FREE;
const RB_STEP = C_RB_STEP;

/** Pages of a 64-bit address space. */
const ADDRESS_PAGES = 2 ** 52;
/** Start of the anchor node, above every possible page. */
const ANCHOR = Number.MAX_SAFE_INTEGER;

/**
 * IOVA allocator with the placement of drivers/iommu/iova.c (7.3): top-down first fit from cached nodes, natural
 * alignment, fast failure by `max32_alloc_size`, and per-CPU caches for up to 32 pages in front.
 *
 * Cost: cache hit O(1); otherwise an insert O(log n) after a backward scan over the ranges above the gap, which is
 * linear in fragmentation, as in the kernel. Fault sites `iova.alloc_node` and `iova.alloc_magazine`.
 */
export class LinuxRbtree implements IovaAllocator {
  readonly name: 'linux-rbtree' = 'linux-rbtree';
  readonly #tree: RangeTree = new RangeTree();
  readonly #anchor: number;
  #cachedNode: number;
  #cached32Node: number;
  /** 32-bit requests of this size or more fail at once, until something below 4 GiB is freed. */
  #max32AllocSize: number;
  /** First page beyond 32-bit addresses (dma_32bit_pfn). */
  readonly #pages32: number;
  readonly #rcaches: Rcache[] = [];
  readonly #machine: Machine;
  readonly #counters: Float64Array;
  readonly #site: FaultSite;
  readonly #reserved = new Set<number>();
  readonly #freePage: (page: number) => void = (page) => this.#freeCached(page);

  /** @param pagesBelow4G - units below 4 GiB: 2^20 pages of 4 KiB (the default), fewer with larger granules. */
  constructor(machine: Machine, pagesBelow4G: number = 2 ** 20) {
    this.#machine = machine;
    this.#pages32 = pagesBelow4G;
    this.#max32AllocSize = pagesBelow4G;
    this.#counters = dmaCounters(machine).values;
    this.#site = machine.faultInjection.site('iova.alloc_node');
    const magazines = machine.faultInjection.site('iova.alloc_magazine');
    for (let bin = 0; bin < RCACHE_BINS; bin++)
      this.#rcaches.push(new Rcache(machine.cpus, magazines, machine.clock, this.#counters));
    this.#anchor = this.#tree.insertBefore(0, ANCHOR, ANCHOR);
    this.#cachedNode = this.#anchor;
    this.#cached32Node = this.#anchor;
  }

  alloc(pages: number, limitPage: number, flushCaches: boolean, cpu: number): number {
    let size = pages;
    if (size <= 32) {
      // alloc_iova_fast rounds sizes below the largest bin up, so that a cached range fits any request of its bin.
      if ((size & (size - 1)) !== 0) size = 1 << (32 - Math.clz32(size - 1));
      const page = this.#rcaches[31 - Math.clz32(size)]!.get(limitPage + 1 - size, cpu);
      if (page !== 0) return page;
    }
    const page = this.#allocRange(size, limitPage + 1);
    if (page !== 0 || !flushCaches) return page;
    for (const rcache of this.#rcaches) rcache.flush(this.#freePage);
    return this.#allocRange(size, limitPage + 1);
  }

  free(firstPage: number, pages: number, cpu: number): void {
    if (pages <= 32) {
      // order_base_2: 0 is for 0 pages too, which a free of length 0 passes.
      const bin = pages <= 1 ? 0 : 32 - Math.clz32(pages - 1);
      if (this.#rcaches[bin]!.put(firstPage, cpu)) return;
    }
    this.#freeRange(firstPage);
  }

  reserve(firstPage: number, lastPage: number): void {
    if (!(firstPage >= 0 && lastPage >= firstPage && lastPage < ADDRESS_PAGES)) {
      this.#machine.warn('reserve_iova: range', `[${firstPage}, ${lastPage}] is no range of IOVA pages`);
      return;
    }
    const tree = this.#tree;
    let lo = firstPage;
    let hi = lastPage;
    // Overlapping reservations become one node.
    let node = tree.find(lo);
    if (node === 0) node = tree.lowerBound(lo);
    while (node !== this.#anchor && tree.lo[node]! <= hi) {
      const next = tree.next[node]!;
      lo = Math.min(lo, tree.lo[node]!);
      hi = Math.max(hi, tree.hi[node]!);
      this.#reserved.delete(tree.lo[node]!);
      this.#forgetCached(node);
      tree.erase(node);
      node = next;
    }
    tree.insertBefore(node, lo, hi);
    this.#reserved.add(lo);
  }

  poll(): void {
    for (const rcache of this.#rcaches) rcache.poll(this.#freePage);
  }

  forEachLive(fn: (firstPage: number, lastPage: number) => void): void {
    const cached = new Set<number>();
    for (const rcache of this.#rcaches) rcache.forEach((page) => cached.add(page));
    const tree = this.#tree;
    for (let node = tree.first; node !== this.#anchor; node = tree.next[node]!) {
      const lo = tree.lo[node]!;
      if (!cached.has(lo) && !this.#reserved.has(lo)) fn(lo, tree.hi[node]!);
    }
  }

  /** Ranges in the tree, reserved and cached ones included. */
  get nodes(): number {
    return this.#tree.size - 1;
  }

  /** Throw when the tree is broken or a cached range is not in it exactly once. For tests (rule TREE_SANE). */
  check(): void {
    checkRangeTree(this.#tree);
    const seen = new Set<number>();
    for (const rcache of this.#rcaches) {
      rcache.forEach((page) => {
        if (seen.has(page)) throw new Error(`page ${page} is cached twice`);
        seen.add(page);
        const node = this.#tree.find(page);
        if (node === 0 || this.#tree.lo[node] !== page) throw new Error(`cached page ${page} has no range`);
      });
    }
  }

  /** alloc_iova: search downwards from a cached node, once more from the limit when that started lower. */
  #allocRange(size: number, limit: number): number {
    if (this.#site.shouldFail()) return 0;
    const tree = this.#tree;
    const below32 = limit <= this.#pages32;
    if (below32 && size >= this.#max32AllocSize) return 0;
    const align = size < 2 ** 30 ? 1 << (size <= 1 ? 0 : 32 - Math.clz32(size - 1)) : roundupPowOfTwo(size);
    let curr = below32 ? this.#cached32Node : this.#cachedNode;
    const retryPage = tree.hi[curr]!;
    let low = 1;
    let high = limit;
    for (let attempt = 0; ; attempt++) {
      const { lo, hi, prev } = tree;
      let successor = curr;
      let page = 0;
      let steps = 0;
      do {
        steps++;
        if (lo[curr]! < high) high = lo[curr]!;
        page = Math.floor((high - size) / align) * align;
        successor = curr;
        curr = prev[curr]!;
      } while (curr !== 0 && page <= hi[curr]! && page >= low);
      this.#counters[RB_STEP]! += steps;
      if (page >= low) {
        this.#insert(successor, page, size);
        return page;
      }
      if (attempt > 0 || retryPage >= limit) {
        this.#max32AllocSize = size;
        return 0;
      }
      high = limit;
      low = retryPage + 1;
      curr = tree.lowerBound(limit);
    }
  }

  #insert(successor: number, page: number, size: number): void {
    const node = this.#tree.insertBefore(successor, page, page + size - 1);
    this.#counters[RB_ALLOC]!++;
    if (page + size - 1 < this.#pages32) this.#cached32Node = node;
    else this.#cachedNode = node;
  }

  /** free_iova: the node that contains the page goes, whoever owns it by now; silently nothing when there is none. */
  /** iova_magazine_free_pfns: a page that was freed twice is cached twice, and has no range the second time. */
  #freeCached(page: number): void {
    if (this.#freeRange(page)) return;
    this.#machine.warn(
      'iova_magazine_free_pfns: no such range',
      `cached iova 0x${(page * 4096).toString(16)} is free already: it was freed twice`,
    );
  }

  #freeRange(page: number): boolean {
    const tree = this.#tree;
    const node = tree.find(page);
    if (node === 0 || node === this.#anchor) return false;
    const lo = tree.lo[node]!;
    const next = tree.next[node]!;
    const cached32 = this.#cached32Node;
    if (node === cached32 || (tree.hi[node]! < this.#pages32 && lo >= tree.lo[cached32]!))
      this.#cached32Node = next;
    if (lo < this.#pages32) this.#max32AllocSize = this.#pages32;
    if (lo >= tree.lo[this.#cachedNode]!) this.#cachedNode = next;
    tree.erase(node);
    this.#counters[RB_FREE]!++;
    return true;
  }

  /** A node that a reservation swallows may not stay a cached one. */
  #forgetCached(node: number): void {
    if (node === this.#cachedNode) this.#cachedNode = this.#tree.next[node]!;
    if (node === this.#cached32Node) this.#cached32Node = this.#tree.next[node]!;
  }
}
