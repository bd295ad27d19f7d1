import { DMA_MAPPING_ERROR, type DmaDataDirection } from '@gpusvm/dma-iova';

/** `proto` of system memory. */
export const DRM_INTERCONNECT_SYSTEM: 0 = 0;
/** First `proto` of a driver; it only has a meaning together with the device that does the mapping. */
export const DRM_INTERCONNECT_DRIVER: 1 = 1;

/**
 * Device addresses as a structure of arrays (struct drm_pagemap_addr).
 *
 * Two layouts exist and must not be confused: `drm_gpusvm` fills it densely, one entry after the other, where an
 * entry of order o stands for 2^o pages and `count` says how many entries there are; migrations address it by page,
 * where slot i of order o is followed by 2^o - 1 empty slots and an `addr` of 0 means hole.
 */
export class PagemapAddrs {
  /** Bytes; 0 = hole; DMA_MAPPING_ERROR = `deviceMap` failed. */
  readonly addr: Float64Array;
  readonly proto: Uint8Array;
  /** Page order, never a log2 of bytes. */
  readonly order: Uint8Array;
  readonly dir: Uint8Array;
  /** Entries of the dense layout. */
  count = 0;

  /** @param of - most entries; or the arrays to look at, see {@link subarray}. */
  constructor(of: number | Pick<PagemapAddrs, 'addr' | 'proto' | 'order' | 'dir'>) {
    if (typeof of === 'number') {
      if (!Number.isInteger(of) || of < 0) throw new RangeError(`PagemapAddrs of ${of} pages`);
      this.addr = new Float64Array(of);
      this.proto = new Uint8Array(of);
      this.order = new Uint8Array(of);
      this.dir = new Uint8Array(of);
    } else {
      this.addr = of.addr;
      this.proto = of.proto;
      this.order = of.order;
      this.dir = of.dir;
    }
  }

  /** Fill slot `i` (drm_pagemap_addr_encode). */
  set(i: number, addrBytes: number, proto: number, order: number, dir: DmaDataDirection): void {
    this.addr[i] = addrBytes;
    this.proto[i] = proto;
    this.order[i] = order;
    this.dir[i] = dir;
  }

  /** Whether slot `i` holds an address. */
  mapped(i: number): boolean {
    return this.addr[i] !== 0 && this.addr[i] !== DMA_MAPPING_ERROR;
  }

  /** Empty the first `pages` slots. */
  clear(pages: number = this.addr.length): void {
    this.addr.fill(0, 0, pages);
    this.order.fill(0, 0, pages);
    this.count = 0;
  }

  /** A view of slots `[start, end)` that shares their memory, for a segment of a migration. */
  subarray(start: number, end: number): PagemapAddrs {
    return new PagemapAddrs({
      addr: this.addr.subarray(start, end),
      proto: this.proto.subarray(start, end),
      order: this.order.subarray(start, end),
      dir: this.dir.subarray(start, end),
    });
  }
}
