import type { FaultSite } from '@gpusvm/kernel';
import type { IotlbGather } from '../iotlb-gather.ts';

/** Entries of a table of every format but those with larger granules. */
export const ENTRIES: 512 = 512;

/** Meta bits of an entry; 0 = empty. Read and write are IOMMU_READ and IOMMU_WRITE. */
export const E_RW: 3 = 3;
/** The entry points to the table whose id is in `lo`. */
export const E_TABLE: 4 = 4;
export const E_MMIO: 8 = 8;
/** log2 of the run of entries that one leaf occupies, in bits 4 to 7. */
export const E_RUN_SHIFT: 4 = 4;
export const E_RUN_MASK: 0xf0 = 0xf0;
/** Page-frame number bits 32 to 39, in bits 8 to 15. */
export const E_HIGH_SHIFT: 8 = 8;

/** Id of the root table of every pool. Id 0 means "no table". */
export const ROOT: 1 = 1;

/**
 * Table pages of one domain in structure-of-arrays form: 6 bytes an entry, 3 KiB a table. A freed table is all
 * zero when it comes back to the free list, and it comes back only after the invalidation that covers it.
 */
export class TablePool {
  /** Low 32 bits of the pfn, or a table id. */
  lo: Uint32Array;
  meta: Uint16Array;
  /** The same memory, two entries a number, for scans. */
  metaPairs: Int32Array;
  /** Per table: leaf entries plus child tables that map something. 0 = pinned, if linked. */
  live: Uint16Array = new Uint16Array(4);
  /** Chain of free tables, and of tables that wait in a gather or a flush queue. */
  next: Int32Array = new Int32Array(4);
  /** Tables in use: linked, or waiting for their invalidation; the root included. */
  used = 1;
  #capacity = 4;
  #freeHead = 0;
  #untouched = 2;
  readonly #entries: number;
  readonly #site: FaultSite;

  /** @param entries - of a table; a power of two. */
  constructor(site: FaultSite, entries: number = ENTRIES) {
    this.#site = site;
    this.#entries = entries;
    this.lo = new Uint32Array(4 * entries);
    this.meta = new Uint16Array(4 * entries);
    this.metaPairs = new Int32Array(this.meta.buffer);
  }

  /** Take a zeroed table; 0 when the fault site says that memory is exhausted (GFP_ATOMIC). */
  alloc(): number {
    if (this.#site.shouldFail()) return 0;
    this.used++;
    const head = this.#freeHead;
    if (head !== 0) {
      this.#freeHead = this.next[head]!;
      this.next[head] = 0;
      return head;
    }
    if (this.#untouched === this.#capacity) this.#grow();
    return this.#untouched++;
  }

  /** Return a chain of zeroed tables. Returns how many. */
  releaseChain(head: number): number {
    let count = 0;
    for (let id = head; id !== 0; ) {
      const following = this.next[id]!;
      this.next[id] = this.#freeHead;
      this.#freeHead = id;
      count++;
      id = following;
    }
    this.used -= count;
    return count;
  }

  /** Queue an unlinked, zeroed table on a gather, where it stays until the gather is synced. */
  queue(id: number, gather: IotlbGather): void {
    this.next[id] = 0;
    if (gather.freeHead === 0) gather.freeHead = id;
    else this.next[gather.freeTail] = id;
    gather.freeTail = id;
  }

  /** Bytes of the arrays. */
  get bytes(): number {
    return this.lo.byteLength + this.meta.byteLength + this.live.byteLength + this.next.byteLength;
  }

  /** Double while small; by an eighth from 48 MiB on, so that big tables do not carry a big reserve. */
  #grow(): void {
    const capacity = this.#capacity < 16384 ? this.#capacity * 2 : Math.ceil(this.#capacity * 1.125);
    this.#capacity = capacity;
    const lo = new Uint32Array(capacity * this.#entries);
    lo.set(this.lo);
    this.lo = lo;
    const meta = new Uint16Array(capacity * this.#entries);
    meta.set(this.meta);
    this.meta = meta;
    this.metaPairs = new Int32Array(meta.buffer);
    const live = new Uint16Array(capacity);
    live.set(this.live);
    this.live = live;
    const next = new Int32Array(capacity);
    next.set(this.next);
    this.next = next;
  }
}
