import { EADDRINUSE, EEXIST } from '@gpusvm/kernel';
import type { IoPageTableFormat } from '../../src/index.ts';

/**
 * Reference for IO page tables in volume: one slot a granule of a window, every rule spelled out slot by slot. No
 * tree, no levels, no tables: what it says can only come from the rules of the format.
 */
export class FlatPageTable {
  /** Per granule: its physical granule plus one; 0 = empty. */
  readonly to: Float64Array;
  /** Per granule: first granule and length of the leaf that covers it. */
  readonly leafStart: Int32Array;
  readonly leafLength: Int32Array;
  /** Lowest tables that exist, for formats that treat a hole inside of one differently. */
  readonly #table: Uint8Array;
  readonly #format: IoPageTableFormat;
  readonly #entries: number;
  mapped = 0;

  constructor(format: IoPageTableFormat, granules: number) {
    this.#format = format;
    this.#entries = 2 ** format.bitsPerLevel;
    this.to = new Float64Array(granules);
    this.leafStart = new Int32Array(granules);
    this.leafLength = new Int32Array(granules);
    this.#table = new Uint8Array(Math.ceil(granules / this.#entries));
  }

  /** Physical granule behind a granule; -1 when there is none. */
  translate(at: number): number {
    return this.to[at]! - 1;
  }

  map(first: number, physical: number, count: number): number {
    let at = first;
    const end = first + count;
    while (at < end) {
      const length = this.#leaf(at, physical + at - first, end - at);
      for (let i = at; i < at + length; i++) {
        if (this.to[i] === 0) continue;
        // All or nothing: the leaves of this call go again.
        for (let back = first; back < at; back++) this.#clear(back);
        return this.#format.occupied === 'eexist-warn' ? -EEXIST : -EADDRINUSE;
      }
      for (let i = at; i < at + length; i++) {
        this.to[i] = physical + i - first + 1;
        this.leafStart[i] = at;
        this.leafLength[i] = length;
      }
      this.mapped += length;
      if (length < this.#entries) this.#table[Math.floor(at / this.#entries)] = 1;
      else this.#table.fill(0, at / this.#entries, (at + length) / this.#entries);
      at += length;
    }
    return 0;
  }

  unmap(first: number, count: number): number {
    const { hole, returns, startInsideLeaf, endInsideLeaf } = this.#format.unmap;
    const end = first + count;
    let at = first;
    while (at < end) {
      if (this.to[at] === 0) {
        const counts = hole === 'count' && this.#table[Math.floor(at / this.#entries)] === 1;
        if (hole !== 'skip' && !counts) break;
        at++;
        continue;
      }
      const start = this.leafStart[at]!;
      const stop = start + this.leafLength[at]!;
      if (start !== at && startInsideLeaf === 'refuse') break;
      if (stop > end && endInsideLeaf === 'refuse') break;
      for (let i = start; i < stop; i++) this.#clear(i);
      at = stop;
    }
    return returns === 'requested' ? count : at - first;
  }

  /** Returns what was cleared. */
  unmapHoles(first: number, count: number): number {
    const end = first + count;
    let cleared = 0;
    for (let at = first; at < end; at++) {
      if (this.to[at] === 0) continue;
      const start = this.leafStart[at]!;
      const stop = start + this.leafLength[at]!;
      if (start >= first && stop <= end) {
        for (let i = start; i < stop; i++) this.#clear(i);
        cleared += stop - start;
      }
      at = stop - 1;
    }
    for (let t = Math.ceil(first / this.#entries); (t + 1) * this.#entries <= end; t++) this.#table[t] = 0;
    return cleared;
  }

  #clear(at: number): void {
    this.to[at] = 0;
    this.mapped--;
  }

  /** Biggest leaf: not longer than what remains, both sides aligned. */
  #leaf(at: number, physical: number, remaining: number): number {
    let best = 1;
    for (const order of this.#format.leafOrders) {
      const length = 2 ** (order - this.#format.granuleOrder);
      if (length > remaining) break;
      if (at % length === 0 && physical % length === 0) best = length;
    }
    return best;
  }
}
