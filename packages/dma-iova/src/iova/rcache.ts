import type { FaultSite, VirtualClock } from '@gpusvm/kernel';
import { C_RC_DEPOT, C_RC_HIT } from '../dma-counters.ts';

/** Bins of cached sizes: 1, 2, 4, 8, 16 and 32 pages (IOVA_RANGE_CACHE_MAX_SIZE). */
export const RCACHE_BINS: 6 = 6;
/** First pages a magazine holds (IOVA_MAG_SIZE). */
export const MAGAZINE_SIZE: 127 = 127;
/** A full depot loses one magazine in this time (IOVA_DEPOT_DELAY). */
export const DEPOT_DELAY_NS: number = 100e6;

// V8 folds a module's own constants, not imported ones.
const RC_HIT = C_RC_HIT;

class Magazine {
  readonly pages: Float64Array = new Float64Array(MAGAZINE_SIZE);
  size = 0;

  /** Take the most recent page that is at most `limit`; 0 when there is none. */
  pop(limit: number): number {
    const pages = this.pages;
    let i = this.size - 1;
    if (pages[i]! <= limit) {
      this.size = i;
      return pages[i]!;
    }
    while (pages[i]! > limit) {
      if (i === 0) return 0;
      i--;
    }
    const page = pages[i]!;
    this.size--;
    pages[i] = pages[this.size]!;
    return page;
  }

  push(page: number): void {
    this.pages[this.size++] = page;
  }
}

class CpuCache {
  loaded: Magazine = new Magazine();
  prev: Magazine = new Magazine();

  swap(): void {
    const loaded = this.loaded;
    this.loaded = this.prev;
    this.prev = loaded;
  }
}

/**
 * One size bin of the per-CPU IOVA caches (struct iova_rcache of drivers/iommu/iova.c): two magazines a CPU and a
 * depot of full ones. Only the loaded magazine is searched when it is not empty. Hit and insert are O(1).
 */
export class Rcache {
  readonly #cpus: CpuCache[] = [];
  readonly #depot: Magazine[] = [];
  readonly #site: FaultSite;
  readonly #counters: Float64Array;
  readonly #clock: VirtualClock;
  /** When the trim of the depot runs next; 0 = not scheduled. */
  #trimAtNs = 0;

  constructor(cpus: number, site: FaultSite, clock: VirtualClock, counters: Float64Array) {
    this.#clock = clock;
    for (let cpu = 0; cpu < cpus; cpu++) this.#cpus.push(new CpuCache());
    this.#site = site;
    this.#counters = counters;
  }

  /** Take a cached range that starts at most at `limit`; 0 on a miss. */
  get(limit: number, cpu: number): number {
    const cache = this.#cpus[cpu]!;
    if (cache.loaded.size === 0) {
      if (cache.prev.size !== 0) {
        cache.swap();
      } else {
        const full = this.#depot.pop();
        if (full === undefined) return 0;
        cache.loaded = full;
        this.#counters[C_RC_DEPOT]!++;
      }
    }
    const page = cache.loaded.pop(limit);
    if (page !== 0) this.#counters[RC_HIT]!++;
    return page;
  }

  /** Keep a freed range; false when no magazine could be had. */
  put(page: number, cpu: number): boolean {
    const cache = this.#cpus[cpu]!;
    if (cache.loaded.size === MAGAZINE_SIZE) {
      if (cache.prev.size !== MAGAZINE_SIZE) {
        cache.swap();
      } else {
        if (this.#site.shouldFail()) return false;
        this.#depot.push(cache.loaded);
        cache.loaded = new Magazine();
        this.#counters[C_RC_DEPOT]!++;
        if (this.#trimAtNs === 0) this.#trimAtNs = this.#clock.nowNs + DEPOT_DELAY_NS;
      }
    }
    cache.loaded.push(page);
    return true;
  }

  /** Trim the depot down to one magazine a CPU, one in 100 ms. Calls `free` for what leaves the cache. */
  poll(free: (page: number) => void): void {
    while (this.#trimAtNs !== 0 && this.#clock.nowNs >= this.#trimAtNs) {
      if (this.#depot.length <= this.#cpus.length) {
        this.#trimAtNs = 0;
        return;
      }
      drain(this.#depot.pop()!, free);
      this.#trimAtNs += DEPOT_DELAY_NS;
    }
  }

  /** Empty the caches of all CPUs and the depot. */
  flush(free: (page: number) => void): void {
    for (const cache of this.#cpus) {
      drain(cache.loaded, free);
      drain(cache.prev, free);
    }
    for (let full = this.#depot.pop(); full !== undefined; full = this.#depot.pop()) drain(full, free);
  }

  /** Visit every cached first page. */
  forEach(fn: (page: number) => void): void {
    for (const cache of this.#cpus) {
      visit(cache.loaded, fn);
      visit(cache.prev, fn);
    }
    for (const full of this.#depot) visit(full, fn);
  }
}

function visit(magazine: Magazine, fn: (page: number) => void): void {
  for (let i = 0; i < magazine.size; i++) fn(magazine.pages[i]!);
}

function drain(magazine: Magazine, free: (page: number) => void): void {
  visit(magazine, free);
  magazine.size = 0;
}
