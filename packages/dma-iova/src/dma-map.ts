import type { Pfn } from '@gpusvm/kernel';
import { archSyncDmaForCpu, archSyncDmaForDevice, needsCacheMaintenance } from './arch-sync-dma.ts';
import {
  DMA_ATTR_CC_SHARED,
  DMA_ATTR_MMIO,
  DMA_ATTR_REQUIRE_COHERENT,
  DMA_ATTR_SKIP_CPU_SYNC,
  DMA_MAPPING_ERROR,
  DMA_NONE,
  type DmaDataDirection,
} from './attributes.ts';
import type { DmaDevice } from './device.ts';
import { C_CALL_MAP, C_CALL_UNMAP, C_LVL_TOUCH, C_WALK } from './dma-counters.ts';
import { iommuMapBytes, syncMapOrUnmap } from './iommu-map-bytes.ts';
import { granulePages, iovaOffset } from './iova-granule.ts';
import { NO_PFN } from './physical-memory.ts';
import { warnShortUnmap } from './short-unmap.ts';
import { kmallocNeedsBounce, needsBounce, warnInactive } from './swiotlb-rules.ts';

/** Attributes of memory that is neither synced nor bounced. */
const RAW = DMA_ATTR_MMIO | DMA_ATTR_REQUIRE_COHERENT;

/**
 * Map a physical range for a device (dma_map_phys): in translated modes an IOVA of its own and a map with sync, in
 * mode `swiotlb` a bounce slot, otherwise the physical address itself, or a bounce slot if the device cannot reach it
 * and has a pool.
 *
 * Never sleeps. One IOVA allocation and one page-table walk; no invalidation.
 *
 * @returns the DMA address in bytes, or DMA_MAPPING_ERROR: no IOVA space, no table page, no bounce slot, address
 *   beyond the DMA mask, REQUIRE_COHERENT that would have to be bounced, MMIO where everything is, CC_SHARED
 *   (translated devices), or no direction (with a warning).
 */
export function dmaMapPhys(
  dev: DmaDevice,
  physBytes: number,
  sizeBytes: number,
  dir: DmaDataDirection,
  attrs: number,
): number {
  dev.counters[C_CALL_MAP]!++;
  const addr =
    dir === DMA_NONE
      ? refuseDirection(dev)
      : dev.domain === null
        ? mapDirect(dev, physBytes, sizeBytes, dir, attrs)
        : isRefusedShared(dev, attrs)
          ? DMA_MAPPING_ERROR
          : mapTranslated(dev, physBytes, sizeBytes, dir, attrs);
  if (dev.trace.mapPhys.enabled) dev.trace.mapPhys.emit(dev, addr, physBytes, sizeBytes, dir, attrs);
  return addr;
}

/**
 * Undo {@link dmaMapPhys} (dma_unmap_phys). In a lazy domain the IOVA goes to the flush queue and the device may
 * use its old translation until that is flushed.
 *
 * Never sleeps. Translated: one walk to find the page, one to unmap, one invalidation (strict). An address that is
 * not mapped is warned about and leaks, as in the kernel.
 */
export function dmaUnmapPhys(
  dev: DmaDevice,
  dmaAddrBytes: number,
  sizeBytes: number,
  dir: DmaDataDirection,
  attrs: number,
): void {
  dev.counters[C_CALL_UNMAP]!++;
  if (dev.trace.unmapPhys.enabled) {
    dev.trace.unmapPhys.emit(dev, dmaAddrBytes, -1, sizeBytes, dir, attrs);
  }
  if (dev.domain === null) {
    // What is neither synced nor bounced needs no undoing, and a bounce slot of another mapping leaks (7.3).
    if ((attrs & RAW) !== 0) return;
    if (needsCacheMaintenance(dev, attrs)) archSyncDmaForCpu(dev, dmaAddrBytes, sizeBytes, dir);
    if (dev.swiotlb !== null) dev.swiotlb.unmap(dmaAddrBytes, sizeBytes, dir, attrs);
    return;
  }
  if (isRefusedShared(dev, attrs)) return;
  unmapTranslated(dev, dmaAddrBytes, sizeBytes, dir, attrs);
}

/** @internal iommu_dma_unmap_phys. */
export function unmapTranslated(
  dev: DmaDevice,
  dmaAddrBytes: number,
  sizeBytes: number,
  dir: DmaDataDirection,
  attrs: number,
): void {
  const domain = dev.domain!;
  let bounced = -1;
  if ((attrs & RAW) === 0) {
    const pad = dmaAddrBytes & 4095;
    dev.counters[C_WALK]!++;
    dev.counters[C_LVL_TOUCH]! += domain.levels;
    const pfn = domain.translate((dmaAddrBytes - pad) / 4096);
    if (pfn === NO_PFN) {
      dev.machine.warn(
        'iommu_dma_unmap_phys: no translation',
        `${dev.name}: 0x${dmaAddrBytes.toString(16)} is not mapped`,
      );
      return;
    }
    if (needsCacheMaintenance(dev, attrs)) archSyncDmaForCpu(dev, pfn * 4096 + pad, sizeBytes, dir);
    if (dev.swiotlb !== null) bounced = pfn * 4096 + pad;
  }
  iommuDmaUnmap(dev, dmaAddrBytes, sizeBytes);
  if (bounced >= 0) dev.swiotlb!.unmap(bounced, sizeBytes, dir, attrs);
}

/** CC_SHARED of a translated device: dma_map_phys gives up and dma_unmap_phys does nothing (kernel/dma/mapping.c, 7.3). */
function isRefusedShared(dev: DmaDevice, attrs: number): boolean {
  return (attrs & DMA_ATTR_CC_SHARED) !== 0 && dev.machine.profile.dma.ccShared;
}

/**
 * Map one page or a part of it (dma_map_page). See {@link dmaMapPhys}; DMA_ATTR_MMIO is an error, because a page has
 * memory behind it.
 */
export function dmaMapPage(
  dev: DmaDevice,
  pfn: Pfn,
  offsetBytes: number,
  sizeBytes: number,
  dir: DmaDataDirection,
  attrs: number,
): number {
  if ((attrs & DMA_ATTR_MMIO) !== 0) return DMA_MAPPING_ERROR;
  return dmaMapPhys(dev, pfn * 4096 + offsetBytes, sizeBytes, dir, attrs);
}

/** Undo {@link dmaMapPage} (dma_unmap_page); with DMA_ATTR_MMIO nothing was mapped, so nothing is done. */
export function dmaUnmapPage(
  dev: DmaDevice,
  dmaAddrBytes: number,
  sizeBytes: number,
  dir: DmaDataDirection,
  attrs: number,
): void {
  if ((attrs & DMA_ATTR_MMIO) !== 0) return;
  dmaUnmapPhys(dev, dmaAddrBytes, sizeBytes, dir, attrs);
}

/**
 * Map MMIO of another device (dma_map_resource): as {@link dmaMapPhys} with DMA_ATTR_MMIO.
 */
export function dmaMapResource(
  dev: DmaDevice,
  physBytes: number,
  sizeBytes: number,
  dir: DmaDataDirection,
  attrs: number,
): number {
  return dmaMapPhys(dev, physBytes, sizeBytes, dir, attrs | DMA_ATTR_MMIO);
}

/** Undo {@link dmaMapResource} (dma_unmap_resource). */
export function dmaUnmapResource(
  dev: DmaDevice,
  dmaAddrBytes: number,
  sizeBytes: number,
  dir: DmaDataDirection,
  attrs: number,
): void {
  dmaUnmapPhys(dev, dmaAddrBytes, sizeBytes, dir, attrs | DMA_ATTR_MMIO);
}

/** Whether a returned address is an error (dma_mapping_error). */
export function dmaMappingError(dmaAddrBytes: number): boolean {
  return dmaAddrBytes === DMA_MAPPING_ERROR;
}

/** @internal __iommu_dma_unmap: unmap with warning on a short return, invalidate or queue, free the IOVA. */
export function iommuDmaUnmap(dev: DmaDevice, dmaAddrBytes: number, sizeBytes: number): void {
  const domain = dev.domain!;
  const gather = dev.gather;
  const pad = iovaOffset(dev, dmaAddrBytes);
  const page = (dmaAddrBytes - pad) / 4096;
  const pages = granulePages(dev, sizeBytes + pad);
  dev.poll();
  gather.reset(dev.flushQueue !== null);
  const unmapped = domain.unmapRange(page, pages, gather);
  if (unmapped !== pages) warnShortUnmap(dev, '__iommu_dma_unmap', dmaAddrBytes, page, pages, unmapped);
  if (!gather.queued) domain.sync(gather);
  dev.freeIova(page, pages, gather);
}

/** @internal iommu_dma_map_phys. */
export function mapTranslated(
  dev: DmaDevice,
  physBytes: number,
  sizeBytes: number,
  dir: DmaDataDirection,
  attrs: number,
): number {
  if ((attrs & DMA_ATTR_REQUIRE_COHERENT) !== 0 && !dev.coherent) return DMA_MAPPING_ERROR;
  let phys = physBytes;
  if ((attrs & DMA_ATTR_MMIO) === 0 && needsBounce(dev, physBytes, sizeBytes, dir)) {
    if ((attrs & DMA_ATTR_REQUIRE_COHERENT) !== 0 || warnInactive(dev)) return DMA_MAPPING_ERROR;
    phys = dev.swiotlb!.map(physBytes, sizeBytes, dir, attrs, dev.granuleBytes - 1);
    if (phys < 0) return DMA_MAPPING_ERROR;
    if (dev.untrusted) zeroPadding(dev, phys, sizeBytes);
  }
  const addr = isUnsupportedAlignment(dev)
    ? DMA_MAPPING_ERROR
    : mapAnywhere(dev, phys, sizeBytes, dir, attrs);
  if (addr === DMA_MAPPING_ERROR && phys !== physBytes) dev.swiotlb!.unmap(phys, sizeBytes, dir, attrs);
  return addr;
}

/** IOVAs keep the offset in a granule, no more: a device that asks for more is warned about once (__iommu_dma_map). */
function isUnsupportedAlignment(dev: DmaDevice): boolean {
  if (dev.minAlignMask < dev.granuleBytes) return false;
  dev.machine.warnOnce(
    '__iommu_dma_map: alignment',
    `${dev.name}: minAlignMask 0x${dev.minAlignMask.toString(16)} is more than the offset in a granule of ${dev.granuleBytes} bytes`,
  );
  return true;
}

/** An IOVA, and the map behind it. */
function mapAnywhere(
  dev: DmaDevice,
  phys: number,
  sizeBytes: number,
  dir: DmaDataDirection,
  attrs: number,
): number {
  const pad = iovaOffset(dev, phys);
  const pages = granulePages(dev, sizeBytes + pad);
  // roundup_pow_of_two(0) is 1 in alloc_iova_fast: a length of 0 takes a granule, which the failing map gives back.
  const reserved = granulePages(dev, Math.max(1, sizeBytes + pad));
  const page = dev.allocIova(reserved);
  if (page !== 0) {
    const addr = page * 4096 + pad;
    const err = iommuMapBytes(dev, addr, phys, sizeBytes, dir, attrs);
    if (err === 0 && syncMapOrUnmap(dev, page, pages) === 0) return addr;
    dev.freeIova(page, reserved, null);
  }
  return DMA_MAPPING_ERROR;
}

/** @internal An untrusted device must not see what else was in the granules of a slot: clear both sides of the range. */
export function zeroPadding(dev: DmaDevice, slotBytes: number, sizeBytes: number): void {
  const before = iovaOffset(dev, slotBytes);
  const end = slotBytes + sizeBytes;
  const after = iovaOffset(dev, end);
  if (before !== 0) dev.memory.zero(slotBytes - before, before);
  if (after !== 0) dev.memory.zero(end, dev.granuleBytes - after);
}

/** @internal dma_direct_map_phys: the address itself; bounced when that is forced, or when the device cannot take it. */
export function mapDirect(
  dev: DmaDevice,
  physBytes: number,
  sizeBytes: number,
  dir: DmaDataDirection,
  attrs: number,
): number {
  const forced = dev.mode === 'swiotlb';
  // Forced bouncing refuses what may not be bounced (057e5e07420c).
  if (forced && (attrs & RAW) !== 0) return DMA_MAPPING_ERROR;
  if ((attrs & DMA_ATTR_REQUIRE_COHERENT) !== 0 && !dev.coherent) return DMA_MAPPING_ERROR;
  const reached = reaches(dev, physBytes, sizeBytes);
  const bounce = forced || ((attrs & RAW) === 0 && (!reached || kmallocNeedsBounce(dev, sizeBytes, dir)));
  let addr = physBytes;
  if (bounce && dev.swiotlb !== null && dev.swiotlb.active) {
    addr = dev.swiotlb.map(physBytes, sizeBytes, dir, attrs, 0);
    if (addr < 0) return DMA_MAPPING_ERROR;
    if (!reaches(dev, addr, sizeBytes)) {
      dev.swiotlb.unmap(addr, sizeBytes, dir, attrs | DMA_ATTR_SKIP_CPU_SYNC);
      return overflow(dev, 'swiotlb_map: overflow', addr, sizeBytes);
    }
  } else if (forced || !reached) {
    return overflow(dev, 'dma_direct_map_phys: overflow', addr, sizeBytes);
  }
  if (needsCacheMaintenance(dev, attrs)) archSyncDmaForDevice(dev, addr, sizeBytes);
  return addr;
}

/** dma_capable: the last byte is within the DMA mask and the bus limit. */
function reaches(dev: DmaDevice, addrBytes: number, sizeBytes: number): boolean {
  return Math.floor((addrBytes + sizeBytes - 1) / 4096) <= dev.limitPage;
}

/** Warned about once a place, DMA_ATTR_NO_WARN or not. */
function overflow(dev: DmaDevice, site: string, addrBytes: number, sizeBytes: number): number {
  dev.machine.warnOnce(
    site,
    `${dev.name}: 0x${addrBytes.toString(16)}, ${sizeBytes} bytes, is beyond the DMA mask of ${dev.dmaMaskBits} bits`,
  );
  return DMA_MAPPING_ERROR;
}

function refuseDirection(dev: DmaDevice): number {
  dev.machine.warn('dma_map_phys: direction', `${dev.name}: direction NONE`);
  return DMA_MAPPING_ERROR;
}
