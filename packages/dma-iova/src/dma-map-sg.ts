import { EINVAL, EIO, ENOMEM, type Errno } from '@gpusvm/kernel';
import {
  DMA_ATTR_SKIP_CPU_SYNC,
  DMA_MAPPING_ERROR,
  type DmaDataDirection,
  dmaInfoToProt,
} from './attributes.ts';
import type { DmaDevice } from './device.ts';
import { C_CALL_MAP, C_CALL_UNMAP, C_CPU_SYNC } from './dma-counters.ts';
import { dmaMapPhys, dmaUnmapPhys, iommuDmaUnmap } from './dma-map.ts';
import type { ScatterList } from './scatter-list.ts';

/** A DMA segment does not cross a multiple of this (dma_get_seg_boundary, default). */
const SEGMENT_BOUNDARY_BYTES = 2 ** 32;
/** Largest DMA segment (dma_get_max_seg_size, default). */
const MAX_SEGMENT_BYTES = 65536;

/**
 * Map a scatter list (dma_map_sgtable): translated devices get one IOVA for all of it, whose pieces are joined to as
 * few DMA segments as the page offsets allow; otherwise every segment is mapped by itself.
 *
 * Never sleeps. One IOVA allocation, one walk a physically contiguous piece, one sync at the end.
 *
 * @returns the number of DMA segments, or -ENOMEM (no IOVA space), -EINVAL (the map failed, or nothing to map), -EIO
 *   (a segment of a direct device). On error nothing is mapped.
 */
export function dmaMapSg(dev: DmaDevice, sg: ScatterList, dir: DmaDataDirection, attrs: number): number {
  sg.mapped = 0;
  if (sg.count === 0) return -EINVAL;
  if (dev.domain === null || (dev.swiotlb !== null && !aligned(sg))) return mapEach(dev, sg, dir, attrs);
  dev.counters[C_CALL_MAP]!++;
  const bytes = pad(sg);
  const page = dev.allocIova(bytes / 4096);
  if (page === 0) return -ENOMEM;
  const err = mapPieces(dev, sg, page, dir, attrs);
  if (err !== 0) {
    dev.freeIova(page, bytes / 4096, null);
    if (dev.trace.mapSg.enabled) dev.trace.mapSg.emit(dev, sg, dir, attrs);
    return -EINVAL;
  }
  dev.domain.syncMap(page, bytes / 4096);
  if (!dev.coherent && (attrs & DMA_ATTR_SKIP_CPU_SYNC) === 0) dev.counters[C_CPU_SYNC]! += bytes / 4096;
  finalise(sg, page * 4096);
  if (dev.trace.mapSg.enabled) dev.trace.mapSg.emit(dev, sg, dir, attrs);
  return sg.mapped;
}

/** Undo {@link dmaMapSg} (dma_unmap_sgtable): from the first to the last address in one unmap. */
export function dmaUnmapSg(dev: DmaDevice, sg: ScatterList, dir: DmaDataDirection, attrs: number): void {
  if (sg.mapped === 0) return;
  if (dev.domain === null || (dev.swiotlb !== null && !aligned(sg))) {
    for (let i = 0; i < sg.mapped; i++)
      dmaUnmapPhys(dev, sg.dmaAddrBytes[i]!, sg.dmaLengthBytes[i]!, dir, attrs);
    sg.mapped = 0;
    return;
  }
  dev.counters[C_CALL_UNMAP]!++;
  if (dev.trace.unmapSg.enabled) dev.trace.unmapSg.emit(dev, sg, dir, attrs);
  const start = sg.dmaAddrBytes[0]!;
  const last = sg.mapped - 1;
  const end = sg.dmaAddrBytes[last]! + sg.dmaLengthBytes[last]!;
  iommuDmaUnmap(dev, start, end - start);
  sg.mapped = 0;
}

function aligned(sg: ScatterList): boolean {
  for (let i = 0; i < sg.count; i++) {
    if (((sg.physBytes[i]! | sg.lengthBytes[i]!) & 4095) !== 0) return false;
  }
  return true;
}

/** Lengths inside the IOVA: whole pages, and a gap where a segment would cross the boundary. Returns the sum. */
function pad(sg: ScatterList): number {
  let total = 0;
  for (let i = 0; i < sg.count; i++) {
    const offset = sg.physBytes[i]! & 4095;
    const length = Math.ceil((sg.lengthBytes[i]! + offset) / 4096) * 4096;
    const gap = (SEGMENT_BOUNDARY_BYTES - (total % SEGMENT_BOUNDARY_BYTES)) % SEGMENT_BOUNDARY_BYTES;
    if (i > 0 && gap !== 0 && gap < length - 1) {
      // The gap is mapped as part of the segment before it, so that one unmap finds no hole.
      sg.paddedBytes[i - 1]! += gap;
      total += gap;
    }
    sg.paddedBytes[i] = length;
    total += length;
  }
  return total;
}

/** iommu_map_sg: physically contiguous pieces are mapped together; a failure unmaps what is mapped. */
function mapPieces(
  dev: DmaDevice,
  sg: ScatterList,
  iovaPage: number,
  dir: DmaDataDirection,
  attrs: number,
): Errno {
  const domain = dev.domain!;
  const prot = dmaInfoToProt(dir, dev.coherent, attrs);
  let mapped = 0;
  for (let i = 0; i < sg.count; ) {
    const pfn = Math.floor(sg.physBytes[i]! / 4096);
    let pages = sg.paddedBytes[i]! / 4096;
    for (i++; i < sg.count && Math.floor(sg.physBytes[i]! / 4096) === pfn + pages; i++) {
      pages += sg.paddedBytes[i]! / 4096;
    }
    const err = domain.mapRange(iovaPage + mapped, pfn, pages, prot);
    if (err !== 0) {
      if (mapped > 0) {
        dev.gather.reset(false);
        domain.unmapRange(iovaPage, mapped, dev.gather);
        domain.sync(dev.gather);
      }
      return err;
    }
    mapped += pages;
  }
  return 0;
}

/**
 * __finalise_sg: join segments that are contiguous in IOVA, start without an offset and stay below the maximum. What
 * is left below it is an unsigned 32-bit number there: behind a segment that alone is longer, everything joins.
 */
function finalise(sg: ScatterList, baseBytes: number): void {
  let addr = baseBytes;
  let length = 0;
  let count = 0;
  for (let i = 0; i < sg.count; i++) {
    const offset = sg.physBytes[i]! & 4095;
    const bytes = sg.lengthBytes[i]!;
    const crosses = addr % SEGMENT_BOUNDARY_BYTES === 0;
    if (length !== 0 && offset === 0 && !crosses && (MAX_SEGMENT_BYTES - length) >>> 0 >= bytes) {
      length += bytes;
    } else {
      sg.dmaAddrBytes[count] = addr + offset;
      length = bytes;
      count++;
    }
    sg.dmaLengthBytes[count - 1] = length;
    addr += sg.paddedBytes[i]!;
    if (offset + bytes < sg.paddedBytes[i]!) length = 0;
  }
  sg.mapped = count;
}

/** dma_direct_map_sg, and the bounced form: one mapping a segment. */
function mapEach(dev: DmaDevice, sg: ScatterList, dir: DmaDataDirection, attrs: number): number {
  for (let i = 0; i < sg.count; i++) {
    const addr = dmaMapPhys(dev, sg.physBytes[i]!, sg.lengthBytes[i]!, dir, attrs);
    if (addr === DMA_MAPPING_ERROR) {
      for (let j = 0; j < i; j++) {
        dmaUnmapPhys(dev, sg.dmaAddrBytes[j]!, sg.dmaLengthBytes[j]!, dir, attrs | DMA_ATTR_SKIP_CPU_SYNC);
      }
      return -EIO;
    }
    sg.dmaAddrBytes[i] = addr;
    sg.dmaLengthBytes[i] = sg.lengthBytes[i]!;
  }
  sg.mapped = sg.count;
  return sg.mapped;
}
