import { EIO, EOPNOTSUPP, EPERM, type Errno } from '@gpusvm/kernel';
import { archSyncDmaFlush, needsCacheMaintenance } from './arch-sync-dma.ts';
import {
  DMA_ATTR_MMIO,
  DMA_ATTR_REQUIRE_COHERENT,
  type DmaDataDirection,
  directionRights,
  IOMMU_CACHE,
} from './attributes.ts';
import type { DmaDevice } from './device.ts';
import { C_CALL_LINK, C_CALL_SYNC, C_CALL_UNLINK } from './dma-counters.ts';
import { linkBounced, syncForCpuSlowly } from './dma-iova-bounce.ts';
import { type DmaIovaState, reservedPages } from './dma-iova-state.ts';
import { iommuMapBytes } from './iommu-map-bytes.ts';
import { granulePages, iovaOffset } from './iova-granule.ts';
import { warnShortUnmap } from './short-unmap.ts';
import { needsBounce } from './swiotlb-rules.ts';
import type { DmaIovaApi } from './tracepoints.ts';

// V8 folds a module's own constants, not imported ones.
const CACHE = IOMMU_CACHE;

/** Bit 63 of a size is the kernel's own flag (DMA_IOVA_USE_SWIOTLB). */
const SWIOTLB_BIT = 2 ** 63;

/**
 * Reserve IOVA space for later links (dma_iova_try_alloc; drivers/iommu/dma-iommu.c, 7.3). No page-table work.
 *
 * Never sleeps. O(1) from the IOVA cache (up to 32 pages), otherwise the allocator's cost. After false the state is
 * unused and the caller takes its fallback ({@link dmaMapPhys}).
 *
 * @param physBytes - only its offset in the granule counts: the reservation starts with the same one.
 * @param sizeBytes - bytes; the reservation covers them with that offset, rounded up to pages.
 * @returns false when the device is not translated, the kernel has no two-step API, the size is 0 or at least 2^63
 *   (each warned about once), or IOVA space is exhausted.
 */
export function dmaIovaTryAlloc(
  dev: DmaDevice,
  state: DmaIovaState,
  physBytes: number,
  sizeBytes: number,
): boolean {
  state.addr = 0;
  state.size = 0;
  state.swiotlb = false;
  if (dev.iova === null || !dev.machine.profile.dma.twoStepApi) return false;
  if (!(sizeBytes > 0) || sizeBytes >= SWIOTLB_BIT) {
    if (!(sizeBytes >= 0)) throw new RangeError(`dmaIovaTryAlloc: size ${sizeBytes} bytes`);
    const site = sizeBytes === 0 ? 'dma_iova_try_alloc: size 0' : 'dma_iova_try_alloc: size with flag bit';
    dev.machine.warnOnce(site, `${dev.name}: size ${sizeBytes}`);
    return false;
  }
  const offset = iovaOffset(dev, physBytes);
  const page = dev.allocIova(granulePages(dev, sizeBytes + offset));
  if (page === 0) return false;
  state.addr = page * 4096 + offset;
  state.size = sizeBytes;
  if (dev.trace.iovaAlloc.enabled) {
    dev.trace.iovaAlloc.emit(dev, state);
  }
  return true;
}

/**
 * Free a whole reservation at once, never through the flush queue (dma_iova_free). The caller has unlinked
 * everything: this is not checked, nor is a second free, and the state stays readable, as in the kernel.
 *
 * Never sleeps. O(1) to the IOVA cache, else O(log n).
 */
export function dmaIovaFree(dev: DmaDevice, state: DmaIovaState): void {
  if (dev.iova !== null) freeReservation(dev, state, 'dma_iova_free');
}

/** @internal {@link dmaIovaFree} on behalf of a function of the API. */
export function freeReservation(dev: DmaDevice, state: DmaIovaState, api: DmaIovaApi): void {
  dev.poll();
  dev.freeIova((state.addr - iovaOffset(dev, state.addr)) / 4096, reservedPages(dev, state), null);
  if (dev.trace.iovaFree.enabled) dev.trace.iovaFree.emit(dev, state, state.size, api);
}

/**
 * Map a physical range at an offset of a reservation, without IOTLB sync (dma_iova_link). There is no check that
 * it lies inside the reservation; only an occupied slot is noticed.
 *
 * Never sleeps. One walk of the IO page table plus one store a leaf. A failing link undoes its own entries; earlier
 * links stay.
 *
 * @param physBytes - start; only the first range (offset 0) may have a page offset, the reservation's own.
 * @param offsetBytes - from {@link DmaIovaState.addr}.
 * @param sizeBytes - length; the last page is mapped whole.
 * @param attrs - DMA_ATTR_* bits.
 * @returns 0; -EIO (page offset at an offset that is not 0; warned once), -EOPNOTSUPP (REQUIRE_COHERENT that cannot
 *   be met; device not translated), -EPERM (MMIO or REQUIRE_COHERENT that would have to be bounced), -ENXIO (no page
 *   size fits), -EINVAL (no permission, or no size), -ERANGE, -ENOMEM, -EADDRINUSE or the format's errno for an
 *   occupied slot.
 */
export function dmaIovaLink(
  dev: DmaDevice,
  state: DmaIovaState,
  physBytes: number,
  offsetBytes: number,
  sizeBytes: number,
  dir: DmaDataDirection,
  attrs: number,
): Errno {
  const start = state.addr + offsetBytes;
  if (
    sizeBytes === 4096 &&
    attrs === 0 &&
    dev.plain === true &&
    dev.trace.link.enabled === false &&
    ((physBytes | start) & 4095) === 0
  ) {
    // What almost every link is: one whole page, nothing to bounce or sync, nobody watching. Full rules in link().
    dev.pageLinks++;
    return dev.domain!.mapRange(start / 4096, physBytes / 4096, 1, directionRights(dir) | CACHE);
  }
  return linkTraced(dev, state, physBytes, offsetBytes, sizeBytes, dir, attrs);
}

function linkTraced(
  dev: DmaDevice,
  state: DmaIovaState,
  physBytes: number,
  offsetBytes: number,
  sizeBytes: number,
  dir: DmaDataDirection,
  attrs: number,
): Errno {
  const { link: point } = dev.trace;
  const start = state.addr + offsetBytes;
  let err: Errno = 0;
  if (sizeBytes === 4096 && attrs === 0 && dev.plain === true && ((physBytes | start) & 4095) === 0) {
    dev.pageLinks++;
    err = dev.domain!.mapRange(start / 4096, physBytes / 4096, 1, directionRights(dir) | CACHE);
  } else {
    err = link(dev, state, physBytes, offsetBytes, sizeBytes, dir, attrs);
  }
  if (point.enabled === true) point.emit(dev, state, physBytes, offsetBytes, sizeBytes, dir, attrs, err);
  return err;
}

function link(
  dev: DmaDevice,
  state: DmaIovaState,
  physBytes: number,
  offsetBytes: number,
  sizeBytes: number,
  dir: DmaDataDirection,
  attrs: number,
): Errno {
  const domain = dev.domain;
  if (domain === null) return -EOPNOTSUPP;
  dev.counters[C_CALL_LINK]!++;
  const pad = iovaOffset(dev, physBytes);
  if (pad !== 0 && offsetBytes > 0) {
    dev.machine.warnOnce(
      'dma_iova_link: unaligned',
      `${dev.name}: phys offset ${pad} at offset ${offsetBytes}`,
    );
    return -EIO;
  }
  if (attrs !== 0 && (attrs & DMA_ATTR_REQUIRE_COHERENT) !== 0) {
    const err = requireCoherent(dev, state);
    if (err !== 0) return err;
  }
  if (needsBounce(dev, physBytes, sizeBytes, dir)) {
    if ((attrs & (DMA_ATTR_MMIO | DMA_ATTR_REQUIRE_COHERENT)) !== 0) return -EPERM;
    return linkBounced(dev, state, physBytes, offsetBytes, sizeBytes, dir, attrs);
  }
  const defer = dev.machine.profile.dma.linkDefersCacheFlush;
  return iommuMapBytes(dev, state.addr + offsetBytes, physBytes, sizeBytes, dir, attrs, defer);
}

function requireCoherent(dev: DmaDevice, state: DmaIovaState): Errno {
  if (!dev.machine.profile.dma.requireCoherent) return 0;
  if (state.swiotlb) {
    dev.machine.warnOnce('dma_iova_link: bounced', `${dev.name}: REQUIRE_COHERENT after a bounced range`);
    return -EOPNOTSUPP;
  }
  return dev.coherent ? 0 : -EOPNOTSUPP;
}

/**
 * Make links visible to the device (dma_iova_sync). Looks at no entry: holes, repeats and overlaps are fine.
 *
 * From 7.3 on it also completes the cache maintenance of the links of a device that does not snoop.
 *
 * Never sleeps. O(1); an invalidation only where the IOMMU caches absent entries.
 *
 * @returns 0, or the driver's errno: then the caller unlinks. -EOPNOTSUPP when the device is not translated.
 */
export function dmaIovaSync(
  dev: DmaDevice,
  state: DmaIovaState,
  offsetBytes: number,
  sizeBytes: number,
): Errno {
  if (dev.domain === null) return -EOPNOTSUPP;
  dev.counters[C_CALL_SYNC]!++;
  const start = state.addr + offsetBytes;
  const pad = iovaOffset(dev, start);
  if (!dev.coherent) archSyncDmaFlush(dev);
  const err = dev.domain.syncMap((start - pad) / 4096, granulePages(dev, sizeBytes + pad));
  if (dev.trace.sync.enabled) dev.trace.sync.emit(dev, state, offsetBytes, sizeBytes, err);
  return err;
}

/**
 * Unmap a range of a reservation and invalidate it at once, also in lazy domains (dma_iova_unlink). The
 * reservation stays. The range must be the union of whole links: a hole ends the unmap, with a warning that names
 * it, and what lies behind stays mapped.
 *
 * Never sleeps. One walk plus one store a leaf, one invalidation; none when nothing was cleared. On devices that do
 * not snoop, or after a bounce, one more walk a page.
 */
export function dmaIovaUnlink(
  dev: DmaDevice,
  state: DmaIovaState,
  offsetBytes: number,
  sizeBytes: number,
  dir: DmaDataDirection,
  attrs: number,
): void {
  if (dev.domain === null) return;
  unlink(dev, state, offsetBytes, sizeBytes, dir, attrs, false, 'dma_iova_unlink');
}

function unlink(
  dev: DmaDevice,
  state: DmaIovaState,
  offsetBytes: number,
  sizeBytes: number,
  dir: DmaDataDirection,
  attrs: number,
  freeIova: boolean,
  api: DmaIovaApi,
): void {
  const domain = dev.domain!;
  const gather = dev.gather;
  dev.poll();
  dev.counters[C_CALL_UNLINK]!++;
  const addr = state.addr + offsetBytes;
  if (state.swiotlb || needsCacheMaintenance(dev, attrs)) {
    syncForCpuSlowly(dev, addr, sizeBytes, dir, attrs, 'stop-at-hole');
  }
  const pad = iovaOffset(dev, addr);
  const page = (addr - pad) / 4096;
  const pages = granulePages(dev, sizeBytes + pad);
  gather.reset(freeIova && dev.flushQueue !== null);
  const unmapped = domain.unmapRange(page, pages, gather);
  if (unmapped !== pages) warnShortUnmap(dev, 'dma_iova_unlink', state.addr, page, pages, unmapped);
  if (!gather.queued) domain.sync(gather);
  if (dev.trace.unlink.enabled) {
    dev.trace.unlink.emit(dev, state, offsetBytes, sizeBytes, unmapped * 4096, dir, attrs, api);
  }
  if (freeIova) dev.freeIova(page, pages, gather);
}

/**
 * Unlink `[0, mappedLenBytes)` and free the reservation (dma_iova_destroy). That prefix must be everything that is
 * linked: a link beyond it leaks in silence.
 *
 * `profile.dma.destroyMode`: `strict-full` (7.3) unlinks strictly and frees the whole reservation;
 * `queued-mapped-len` (6.16 to 7.2) goes through the flush queue of a lazy domain and frees only what
 * `mappedLenBytes` covers, so a short length puts the reservation into a smaller cache bin.
 *
 * Never sleeps. As {@link dmaIovaUnlink} plus {@link dmaIovaFree}.
 *
 * @param mappedLenBytes - 0 = nothing is linked: a plain free.
 */
export function dmaIovaDestroy(
  dev: DmaDevice,
  state: DmaIovaState,
  mappedLenBytes: number,
  dir: DmaDataDirection,
  attrs: number,
): void {
  if (dev.domain === null) return;
  if (mappedLenBytes === 0) {
    freeReservation(dev, state, 'dma_iova_destroy');
  } else if (dev.machine.profile.dma.destroyMode === 'strict-full') {
    unlink(dev, state, 0, mappedLenBytes, dir, attrs, false, 'dma_iova_destroy');
    freeReservation(dev, state, 'dma_iova_destroy');
  } else {
    unlink(dev, state, 0, mappedLenBytes, dir, attrs, true, 'dma_iova_destroy');
    if (dev.trace.iovaFree.enabled) dev.trace.iovaFree.emit(dev, state, mappedLenBytes, 'dma_iova_destroy');
  }
}
