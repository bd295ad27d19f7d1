import { NaiveIova } from '../iova/naive-iova.ts';

const MAGAZINE = 127;
const TRIM_NS = 100e6;

interface Cpu {
  loaded: number[];
  prev: number[];
}

/** One bin: arrays of first pages, newest last. */
interface Bin {
  readonly cpus: Cpu[];
  readonly depot: number[][];
  /** When the next magazine leaves the depot; -1 = not scheduled. */
  trimAtNs: number;
}

/**
 * alloc_iova_fast and free_iova_fast with their caches, on plain arrays and the naive search: rounding below 32 pages,
 * six bins, two magazines a CPU, a depot that is trimmed, flush and retry.
 */
export class NaiveIovaDomain {
  readonly naive = new NaiveIova();
  readonly #bins: Bin[];

  constructor(cpus: number) {
    this.#bins = Array.from({ length: 6 }, () => ({
      cpus: Array.from({ length: cpus }, () => ({ loaded: [], prev: [] })),
      depot: [],
      trimAtNs: -1,
    }));
  }

  alloc(pages: number, limitPage: number, flush: boolean, cpu: number): number {
    let size = pages;
    if (pages <= 32) {
      while ((size & (size - 1)) !== 0) size++;
      const cached = this.#get(this.#bins[Math.log2(size)]!, limitPage + 1 - size, cpu);
      if (cached !== 0) return cached;
    }
    const page = this.naive.alloc(size, limitPage + 1);
    if (page !== 0 || !flush) return page;
    for (const bin of this.#bins) {
      for (const c of bin.cpus) {
        for (const p of [...c.loaded, ...c.prev]) this.naive.free(p);
        c.loaded = [];
        c.prev = [];
      }
      for (let full = bin.depot.pop(); full !== undefined; full = bin.depot.pop()) {
        for (const p of full) this.naive.free(p);
      }
    }
    return this.naive.alloc(size, limitPage + 1);
  }

  free(page: number, pages: number, cpu: number, nowNs: number): void {
    if (pages > 32) {
      this.naive.free(page);
      return;
    }
    const bin = this.#bins[Math.ceil(Math.log2(pages))]!;
    const c = bin.cpus[cpu]!;
    if (c.loaded.length === MAGAZINE) {
      const other = c.prev;
      if (other.length !== MAGAZINE) {
        c.prev = c.loaded;
        c.loaded = other;
      } else {
        bin.depot.push(c.loaded);
        c.loaded = [];
        if (bin.trimAtNs < 0) bin.trimAtNs = nowNs + TRIM_NS;
      }
    }
    c.loaded.push(page);
  }

  /** Let the delayed work of the depots run, up to a moment. */
  poll(nowNs: number): void {
    for (const bin of this.#bins) {
      while (bin.trimAtNs >= 0 && nowNs >= bin.trimAtNs) {
        if (bin.depot.length <= bin.cpus.length) {
          bin.trimAtNs = -1;
          continue;
        }
        for (const p of bin.depot.pop()!) this.naive.free(p);
        bin.trimAtNs += TRIM_NS;
      }
    }
  }

  #get(bin: Bin, highest: number, cpu: number): number {
    const c = bin.cpus[cpu]!;
    if (c.loaded.length === 0) {
      if (c.prev.length > 0) {
        const other = c.prev;
        c.prev = c.loaded;
        c.loaded = other;
      } else if (bin.depot.length > 0) {
        c.loaded = bin.depot.pop()!;
      } else {
        return 0;
      }
    }
    for (let i = c.loaded.length - 1; i >= 0; i--) {
      const page = c.loaded[i]!;
      if (page > highest) continue;
      c.loaded[i] = c.loaded[c.loaded.length - 1]!;
      c.loaded.pop();
      return page;
    }
    return 0;
  }
}
