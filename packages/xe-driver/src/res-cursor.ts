import { PAGE_SIZE } from '@gpusvm/kernel';

/** The dense address entries a cursor walks; `PagemapAddrs` of drm-pagemap is one. */
export interface DmaEntries {
  /** Byte address of each entry. */
  readonly addr: Float64Array;
  /** Page order of each entry. */
  readonly order: Uint8Array;
  /** Interconnect of each entry. */
  readonly proto: Uint8Array;
}

/** Interconnect of an address in the device's own memory (XE_INTERCONNECT_VRAM = DRM_INTERCONNECT_DRIVER). */
export const XE_INTERCONNECT_VRAM: 1 = 1;
/** Interconnect of an address in another device's memory. */
export const XE_INTERCONNECT_P2P: 2 = 2;

/**
 * Walks the dense entry array of a range as maximal segments (struct xe_res_cursor, xe_res_cursor.h): the next
 * entry joins while it has the same interconnect and starts where the segment ends. Never looks beyond the
 * requested length. Amortised cost: constant per entry.
 */
export class ResCursor {
  /** Byte address at the current position. */
  addrBytes = 0;
  /** Pages left in the current segment. */
  segmentPages = 0;
  /** Pages left altogether. */
  remainingPages = 0;
  /** Interconnect of the current segment. */
  proto = 0;
  #entries: DmaEntries;
  /** Next entry that is not part of the current segment. */
  #next = 0;

  constructor(entries: DmaEntries, pages: number) {
    this.#entries = entries;
    this.reset(entries, pages);
  }

  /** Start over on other entries (xe_res_first_dma). */
  reset(entries: DmaEntries, pages: number): void {
    this.#entries = entries;
    this.#next = 0;
    this.remainingPages = pages;
    this.#loadSegment();
  }

  /** Take the position of another cursor; for looking ahead. */
  copyFrom(other: ResCursor): void {
    this.#entries = other.#entries;
    this.#next = other.#next;
    this.addrBytes = other.addrBytes;
    this.segmentPages = other.segmentPages;
    this.remainingPages = other.remainingPages;
    this.proto = other.proto;
  }

  /** Whether the current segment is device memory (xe_res_is_vram). */
  get isVram(): boolean {
    return this.proto === XE_INTERCONNECT_VRAM;
  }

  /** Step forward by at most the current segment (xe_res_next). */
  advance(pages: number): void {
    if (pages > this.segmentPages) {
      throw new RangeError(`cursor step of ${pages} pages in a segment of ${this.segmentPages}`);
    }
    this.remainingPages -= pages;
    this.segmentPages -= pages;
    this.addrBytes += pages * PAGE_SIZE;
    if (this.segmentPages === 0) this.#loadSegment();
  }

  #loadSegment(): void {
    const { addr, order, proto } = this.#entries;
    if (this.remainingPages === 0) return;
    let j = this.#next;
    const first = addr[j]!;
    const kind = proto[j]!;
    let pages = 1 << order[j]!;
    let end = first + pages * PAGE_SIZE;
    j++;
    while (pages < this.remainingPages && addr[j] === end && proto[j] === kind) {
      const more = 1 << order[j]!;
      pages += more;
      end += more * PAGE_SIZE;
      j++;
    }
    this.#next = j;
    this.addrBytes = first;
    this.proto = kind;
    this.segmentPages = pages < this.remainingPages ? pages : this.remainingPages;
  }
}
