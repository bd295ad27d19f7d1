import { EINVAL, EIO, ENOMEM, EOPNOTSUPP, EREMOTEIO, type Errno } from '@gpusvm/kernel';
import { archSyncDmaForCpu, archSyncDmaForDevice, needsCacheMaintenance } from './arch-sync-dma.ts';
import {
  DMA_ATTR_CC_SHARED,
  DMA_ATTR_MMIO,
  DMA_ATTR_REQUIRE_COHERENT,
  DMA_ATTR_SKIP_CPU_SYNC,
  DMA_MAPPING_ERROR,
  DMA_NONE,
  type DmaDataDirection,
  dmaInfoToProt,
} from './attributes.ts';
import type { DmaDevice } from './device.ts';
import { C_CALL_MAP, C_CALL_UNMAP } from './dma-counters.ts';
import { dmaMapPhys, dmaUnmapPhys, iommuDmaUnmap } from './dma-map.ts';
import { syncMapOrUnmap } from './iommu-map-bytes.ts';
import { iovaOffset } from './iova-granule.ts';
import { p2pdmaBusAddr, p2pdmaMapType } from './p2pdma.ts';
import type { ScatterList } from './scatter-list.ts';
import { finalise, layOut, NOT_IN_IOVA } from './sg-segments.ts';
import { sgNeedsBounce } from './swiotlb-rules.ts';

/**
 * Map a scatter list (dma_map_sgtable): translated devices get one IOVA for all of it, whose pieces are joined to as
 * few DMA segments as page offsets, segment boundary and largest segment of the device allow; otherwise, and on
 * devices that bounce, every segment is mapped by itself.
 *
 * Never sleeps. One IOVA allocation, one walk a physically contiguous piece, one sync at the end.
 *
 * @returns the number of DMA segments, or -ENOMEM (no IOVA space, no table page), -EREMOTEIO (peer memory that the
 *   device cannot reach), -EIO (a segment of a direct or bounced device), -EOPNOTSUPP (REQUIRE_COHERENT on a device that does
 *   not snoop), -EINVAL (anything else, no segments, or no direction, with a warning). On error nothing is mapped.
 */
export function dmaMapSg(dev: DmaDevice, sg: ScatterList, dir: DmaDataDirection, attrs: number): number {
  sg.mapped = 0;
  sg.mappedEach = false;
  if (dir === DMA_NONE) {
    dev.machine.warn('dma_map_sg: direction', `${dev.name}: direction NONE`);
    return -EINVAL;
  }
  if (sg.count === 0) return -EINVAL;
  if ((attrs & DMA_ATTR_REQUIRE_COHERENT) !== 0 && !dev.coherent) return -EOPNOTSUPP;
  const err =
    dev.domain === null
      ? mapDirect(dev, sg, dir, attrs)
      : sgNeedsBounce(dev, sg, dir)
        ? mapBounced(dev, sg, dir, attrs)
        : mapMerged(dev, sg, dir, attrs);
  if (dev.trace.mapSg.enabled) dev.trace.mapSg.emit(dev, sg, dir, attrs);
  return err !== 0 ? err : sg.mapped;
}

/**
 * Undo {@link dmaMapSg} (dma_unmap_sgtable): from the first to the last translated address in one unmap; bus
 * addresses need none. Of a list that is not mapped there is nothing to undo. Never sleeps.
 */
export function dmaUnmapSg(dev: DmaDevice, sg: ScatterList, dir: DmaDataDirection, attrs: number): void {
  if (dev.trace.unmapSg.enabled) dev.trace.unmapSg.emit(dev, sg, dir, attrs);
  if (sg.mapped === 0) return;
  if (dev.domain === null || sg.mappedEach) unmapEach(dev, sg, dir, attrs);
  else unmapMerged(dev, sg, dir, attrs);
  sg.mapped = 0;
}

/** One IOVA for the whole list (iommu_dma_map_sg). */
function mapMerged(dev: DmaDevice, sg: ScatterList, dir: DmaDataDirection, attrs: number): Errno {
  dev.counters[C_CALL_MAP]!++;
  const bytes = layOut(dev, sg);
  if (bytes < 0) return bytes === -EREMOTEIO ? bytes : -EINVAL;
  if (bytes === 0) {
    finalise(dev, sg, 0);
    return 0;
  }
  const pages = bytes / 4096;
  const page = dev.allocIova(pages);
  if (page === 0) return -ENOMEM;
  const err = mapPieces(dev, sg, page, dir, attrs) || syncMapOrUnmap(dev, page, pages);
  if (err !== 0) {
    dev.freeIova(page, pages, null);
    return err === -ENOMEM ? -ENOMEM : -EINVAL;
  }
  if (needsCacheMaintenance(dev, attrs)) {
    forEachOwn(sg, (physBytes, lengthBytes) => archSyncDmaForDevice(dev, physBytes, lengthBytes));
  }
  finalise(dev, sg, page * 4096);
  return 0;
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
  let mapped = 0;
  for (let i = 0; i < sg.count; ) {
    if (sg.paddedBytes[i] === NOT_IN_IOVA) {
      i++;
      continue;
    }
    const peer = sg.provider[i]!;
    const pfn = startPfn(dev, sg, i);
    let pages = sg.paddedBytes[i]! / 4096;
    for (i++; i < sg.count && sg.provider[i] === peer && startPfn(dev, sg, i) === pfn + pages; i++) {
      pages += sg.paddedBytes[i]! / 4096;
    }
    const prot = dmaInfoToProt(dir, dev.coherent, peer === null ? attrs : attrs | DMA_ATTR_MMIO);
    if (pages === 0) continue;
    const err = domain.mapRange(iovaPage + mapped, pfn, pages, prot);
    if (err !== 0) {
      if (mapped > 0) unmapPieces(dev, iovaPage, mapped);
      return err;
    }
    mapped += pages;
  }
  return 0;
}

function unmapPieces(dev: DmaDevice, iovaPage: number, pages: number): void {
  dev.gather.reset(false);
  dev.domain!.unmapRange(iovaPage, pages, dev.gather);
  dev.domain!.sync(dev.gather);
}

/** First page of the granules of segment `i`; -1 when it takes no part in the IOVA, so that nothing follows on it. */
function startPfn(dev: DmaDevice, sg: ScatterList, i: number): number {
  if (sg.paddedBytes[i] === NOT_IN_IOVA) return -1;
  const phys = sg.physBytes[i]!;
  return (phys - iovaOffset(dev, phys)) / 4096;
}

/** iommu_dma_unmap_sg: the extent from the first to the last translated address goes in one unmap. */
function unmapMerged(dev: DmaDevice, sg: ScatterList, dir: DmaDataDirection, attrs: number): void {
  dev.counters[C_CALL_UNMAP]!++;
  if (needsCacheMaintenance(dev, attrs)) {
    forEachOwn(sg, (physBytes, lengthBytes) => archSyncDmaForCpu(dev, physBytes, lengthBytes, dir));
  }
  let start = -1;
  let end = 0;
  for (let i = 0; i < sg.mapped; i++) {
    if (sg.dmaIsBus[i] === 1) continue;
    // A DMA segment without a length ends the list for the kernel, also when it is the first one.
    if (sg.dmaLengthBytes[i] === 0) break;
    if (start < 0) start = sg.dmaAddrBytes[i]!;
    end = sg.dmaAddrBytes[i]! + sg.dmaLengthBytes[i]!;
  }
  if (start >= 0) iommuDmaUnmap(dev, start, end - start);
}

/** dma_direct_map_sg: one mapping a segment, by its P2P type. */
function mapDirect(dev: DmaDevice, sg: ScatterList, dir: DmaDataDirection, attrs: number): Errno {
  for (let i = 0; i < sg.count; i++) {
    const provider = sg.provider[i]!;
    const type = p2pdmaMapType(provider, dev.p2p);
    if (type === 'bus-addr') {
      sg.emit(p2pdmaBusAddr(provider, sg.physBytes[i]!), sg.lengthBytes[i]!, true);
      continue;
    }
    let err: Errno = type === 'not-supported' ? -EREMOTEIO : 0;
    if (err === 0) err = mapOne(dev, sg, i, dir, type === 'none' ? attrs : attrs | DMA_ATTR_MMIO);
    if (err !== 0) return undoEach(dev, sg, dir, attrs, err);
  }
  return 0;
}

/**
 * iommu_dma_map_sg_swiotlb: one mapping a segment, each with its own IOVA and bounce slot. Below dma_map_phys, so CC_SHARED
 * is not refused.
 */
function mapBounced(dev: DmaDevice, sg: ScatterList, dir: DmaDataDirection, attrs: number): Errno {
  sg.mappedEach = true;
  for (let i = 0; i < sg.count; i++) {
    const all = attrs & ~DMA_ATTR_CC_SHARED;
    const err = mapOne(dev, sg, i, dir, sg.provider[i] === null ? all : all | DMA_ATTR_MMIO);
    if (err !== 0) return undoEach(dev, sg, dir, attrs, err);
  }
  return 0;
}

function mapOne(dev: DmaDevice, sg: ScatterList, i: number, dir: DmaDataDirection, attrs: number): Errno {
  const addr = dmaMapPhys(dev, sg.physBytes[i]!, sg.lengthBytes[i]!, dir, attrs);
  if (addr === DMA_MAPPING_ERROR) return -EIO;
  sg.emit(addr, sg.lengthBytes[i]!, false);
  return 0;
}

function undoEach(dev: DmaDevice, sg: ScatterList, dir: DmaDataDirection, attrs: number, err: Errno): Errno {
  unmapEach(dev, sg, dir, attrs | DMA_ATTR_SKIP_CPU_SYNC);
  sg.mapped = 0;
  return err;
}

/** Segments and DMA segments are the same here. */
function unmapEach(dev: DmaDevice, sg: ScatterList, dir: DmaDataDirection, attrs: number): void {
  for (let i = 0; i < sg.mapped; i++) {
    if (sg.dmaIsBus[i] === 1) continue;
    const peer = sg.provider[i] === null ? attrs : attrs | DMA_ATTR_MMIO;
    const all = sg.mappedEach ? peer & ~DMA_ATTR_CC_SHARED : peer;
    dmaUnmapPhys(dev, sg.dmaAddrBytes[i]!, sg.dmaLengthBytes[i]!, dir, all);
  }
}

/** Visit the segments of ordinary memory. */
function forEachOwn(sg: ScatterList, fn: (physBytes: number, lengthBytes: number) => void): void {
  for (let i = 0; i < sg.count; i++) {
    if (sg.provider[i] === null) fn(sg.physBytes[i]!, sg.lengthBytes[i]!);
  }
}
