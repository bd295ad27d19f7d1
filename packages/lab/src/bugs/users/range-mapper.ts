import { DMA_MAPPING_ERROR, type DmaDataDirection, type DmaDevice, DmaIovaState } from '@gpusvm/dma-iova';
import { EIO, type Errno } from '@gpusvm/kernel';
import type { DmaOps } from './dma-ops.ts';

const PAGE = 4096;

/** A folio of a range: its first frame and log2 of its pages. */
export interface Folio {
  readonly pfn: number;
  readonly order: number;
}

/** Address of one folio as the device gets it. */
export interface DeviceAddress {
  readonly addrBytes: number;
  /** log2 of the pages at that address. */
  readonly order: number;
  /** Mapped by dma_map_page, not by a link. */
  readonly single: boolean;
}

/** A virtual range whose folios are mapped; a hole (a page elsewhere) is null and counts one page. */
export class MappedRange {
  folios: readonly (Folio | null)[] = [];
  readonly state: DmaIovaState = new DmaIovaState();
  /** Bytes linked. */
  linkedBytes = 0;
  addresses: (DeviceAddress | null)[] = [];
  dir: DmaDataDirection = 0;

  /** Pages of the range. */
  get pages(): number {
    return this.folios.reduce((sum, f) => sum + (f === null ? 1 : 2 ** f.order), 0);
  }
}

/** Operation table of the mapper below. */
export interface RangeOps {
  /** Map what is present. On error everything is undone. */
  map: (dma: DmaOps, dev: DmaDevice, r: MappedRange) => Errno;
  /** Link what is present into a reservation. */
  linkAll: (dma: DmaOps, dev: DmaDevice, r: MappedRange) => Errno;
  /** Unmap, also after a `map` that came only part of the way. */
  unmap: (dma: DmaOps, dev: DmaDevice, r: MappedRange) => void;
}

/**
 * A user of the API that maps the folios of a virtual range, as drm_gpusvm_get_pages and the migration paths of
 * drm_pagemap do: one reservation for the whole range, present folios linked packed, one sync; unlink of what is
 * linked, then free; single mappings where there is no reservation.
 */
export function rangeOps(): RangeOps {
  const ops: RangeOps = {
    map(dma, dev, r) {
      r.linkedBytes = 0;
      r.addresses = r.folios.map(() => null);
      const reserved = r.state.size !== 0 || dma.tryAlloc(dev, r.state, 0, r.pages * PAGE);
      const err = reserved ? ops.linkAll(dma, dev, r) : mapEach(dma, dev, r);
      if (err !== 0) ops.unmap(dma, dev, r);
      return err;
    },

    linkAll(dma, dev, r) {
      for (const [i, folio] of r.folios.entries()) {
        if (folio === null) continue;
        const size = PAGE * 2 ** folio.order;
        const err = dma.link(dev, r.state, folio.pfn * PAGE, r.linkedBytes, size, r.dir, 0);
        if (err !== 0) return err;
        r.addresses[i] = { addrBytes: r.state.addr + r.linkedBytes, order: folio.order, single: false };
        r.linkedBytes += size;
      }
      return r.linkedBytes === 0 ? 0 : dma.sync(dev, r.state, 0, r.linkedBytes);
    },

    unmap(dma, dev, r) {
      for (const a of r.addresses)
        if (a !== null && a.single) dma.unmapPhys(dev, a.addrBytes, PAGE * 2 ** a.order, r.dir, 0);
      if (r.state.size !== 0) {
        if (r.linkedBytes !== 0) dma.unlink(dev, r.state, 0, r.linkedBytes, r.dir, 0);
        dma.free(dev, r.state);
        r.state.size = 0;
      }
      r.linkedBytes = 0;
      r.addresses = [];
    },
  };
  return ops;
}

function mapEach(dma: DmaOps, dev: DmaDevice, r: MappedRange): Errno {
  for (const [i, folio] of r.folios.entries()) {
    if (folio === null) continue;
    const addrBytes = dma.mapPhys(dev, folio.pfn * PAGE, PAGE * 2 ** folio.order, r.dir, 0);
    if (addrBytes === DMA_MAPPING_ERROR) return -EIO;
    r.addresses[i] = { addrBytes, order: folio.order, single: true };
  }
  return 0;
}

/** The device writes to every page that it was told about. */
export function touchRange(dev: DmaDevice, r: MappedRange): void {
  for (const a of r.addresses) {
    if (a === null) continue;
    dev.writeTag(a.addrBytes, 1);
    dev.writeTag(a.addrBytes + PAGE * (2 ** a.order - 1), 1);
  }
}
