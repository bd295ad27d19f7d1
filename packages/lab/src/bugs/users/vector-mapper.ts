import { DMA_MAPPING_ERROR, type DmaDataDirection, type DmaDevice, DmaIovaState } from '@gpusvm/dma-iova';
import { EIO, type Errno } from '@gpusvm/kernel';
import type { DmaOps } from './dma-ops.ts';

/** A piece of physical memory. */
export interface Segment {
  readonly physBytes: number;
  readonly sizeBytes: number;
}

/** What was mapped for one segment by the classic API. */
export interface MappedSegment {
  readonly addrBytes: number;
  readonly sizeBytes: number;
}

/** A list of segments and its mapping; the storage is reused from one request to the next. */
export class Vector {
  segments: readonly Segment[] = [];
  dir: DmaDataDirection = 0;
  attrs = 0;
  /** The segments may be joined in one reservation (no virtual boundary of the device in the way). */
  mergeable = true;
  readonly state: DmaIovaState = new DmaIovaState();
  /** Bytes linked. */
  linkedBytes = 0;
  /** Mappings made without a reservation. */
  mapped: MappedSegment[] = [];
}

/** Operation table of the mapper below. */
export interface VectorOps {
  map: (dma: DmaOps, dev: DmaDevice, v: Vector) => Errno;
  /** The part of `map` with a reservation. */
  linkAll: (dma: DmaOps, dev: DmaDevice, v: Vector) => Errno;
  /** The part of `map` without one. */
  mapEach: (dma: DmaOps, dev: DmaDevice, v: Vector) => Errno;
  unmap: (dma: DmaOps, dev: DmaDevice, v: Vector) => void;
  /** The part of `unmap` without a reservation. */
  unmapEach: (dma: DmaOps, dev: DmaDevice, v: Vector) => void;
}

/**
 * A user of the API that maps lists: block requests (block/blk-mq-dma.c with the nvme driver) and dma-buf vectors
 * (drivers/dma-buf/dma-buf-mapping.c). One reservation, links at a running offset, one sync, one destroy; single
 * mappings where there is no reservation.
 */
export function vectorOps(): VectorOps {
  const ops: VectorOps = {
    map(dma, dev, v) {
      v.linkedBytes = 0;
      v.mapped = [];
      v.state.size = 0;
      const total = totalBytes(v);
      if (v.mergeable && dma.tryAlloc(dev, v.state, v.segments[0]!.physBytes, total))
        return ops.linkAll(dma, dev, v);
      return ops.mapEach(dma, dev, v);
    },

    linkAll(dma, dev, v) {
      let err: Errno = 0;
      for (const { physBytes, sizeBytes } of v.segments) {
        err = dma.link(dev, v.state, physBytes, v.linkedBytes, sizeBytes, v.dir, v.attrs);
        if (err !== 0) break;
        v.linkedBytes += sizeBytes;
      }
      if (err === 0) err = dma.sync(dev, v.state, 0, v.linkedBytes);
      if (err === 0) return 0;
      dma.destroy(dev, v.state, v.linkedBytes, v.dir, v.attrs);
      v.state.size = 0;
      return err;
    },

    mapEach(dma, dev, v) {
      for (const { physBytes, sizeBytes } of v.segments) {
        const addrBytes = dma.mapPhys(dev, physBytes, sizeBytes, v.dir, v.attrs);
        if (addrBytes === DMA_MAPPING_ERROR) {
          ops.unmapEach(dma, dev, v);
          return -EIO;
        }
        v.mapped.push({ addrBytes, sizeBytes });
      }
      return 0;
    },

    unmap(dma, dev, v) {
      if (v.state.size === 0) {
        ops.unmapEach(dma, dev, v);
        return;
      }
      dma.destroy(dev, v.state, v.linkedBytes, v.dir, v.attrs);
      v.state.size = 0;
    },

    unmapEach(dma, dev, v) {
      for (const { addrBytes, sizeBytes } of v.mapped)
        dma.unmapPhys(dev, addrBytes, sizeBytes, v.dir, v.attrs);
      v.mapped = [];
    },
  };
  return ops;
}

/** Length of a list. */
export function totalBytes(v: Vector): number {
  return v.segments.reduce((sum, s) => sum + s.sizeBytes, 0);
}

/** DMA address of a byte of a mapped list. */
export function vectorAddress(v: Vector, segment: number, offsetBytes = 0): number {
  if (v.state.size === 0) return v.mapped[segment]!.addrBytes + offsetBytes;
  return v.state.addr + v.segments.slice(0, segment).reduce((sum, s) => sum + s.sizeBytes, 0) + offsetBytes;
}
