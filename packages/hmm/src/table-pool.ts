const ENTRIES = 512;
/** Tables that are allocated at once, at most. */
const SLAB = 64;
/** Tables that are kept for later, at most: 10 MiB. */
const KEPT = 4096;

/** The two arrays of a page table. */
export interface TableArrays {
  readonly pfn: Uint32Array;
  readonly bits: Uint8Array;
}

/**
 * Page tables of a machine that nobody uses now. They are allocated in slabs, since many small array buffers are slow to
 * make and to collect, and given back by a process that exits for the next one that forks.
 */
export class TablePool {
  readonly #free: TableArrays[] = [];
  #slab = 1;

  /** An empty table. */
  take(): TableArrays {
    const known = this.#free.pop();
    if (known !== undefined) return known;
    const pfn = new Uint32Array(this.#slab * ENTRIES);
    const bits = new Uint8Array(this.#slab * ENTRIES);
    for (let i = this.#slab - 1; i > 0; i--) this.#free.push(slice(pfn, bits, i));
    this.#slab = Math.min(this.#slab * 2, SLAB);
    return slice(pfn, bits, 0);
  }

  /** A table that is used no more. */
  give(pfn: Uint32Array, bits: Uint8Array): void {
    if (this.#free.length < KEPT) this.#free.push({ pfn, bits: bits.fill(0) });
  }
}

function slice(pfn: Uint32Array, bits: Uint8Array, table: number): TableArrays {
  const from = table * ENTRIES;
  return { pfn: pfn.subarray(from, from + ENTRIES), bits: bits.subarray(from, from + ENTRIES) };
}
