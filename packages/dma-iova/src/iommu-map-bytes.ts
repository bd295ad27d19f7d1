import { EINVAL, type Errno } from '@gpusvm/kernel';
import { archSyncDmaForDevice, needsCacheMaintenance } from './arch-sync-dma.ts';
import { type DmaDataDirection, dmaInfoToProt } from './attributes.ts';
import type { DmaDevice } from './device.ts';
import { granulePages, iovaOffset } from './iova-granule.ts';

/**
 * @internal Map `[addr, addr + size)`, padded to granules on both sides, to `[phys, phys + size)`: the cache
 * maintenance and the byte-to-page rules that link and the classic path share.
 *
 * @param deferFlush - the barrier behind the cache maintenance comes with dma_iova_sync.
 */
export function iommuMapBytes(
  dev: DmaDevice,
  addrBytes: number,
  physBytes: number,
  sizeBytes: number,
  dir: DmaDataDirection,
  attrs: number,
  deferFlush = false,
): Errno {
  const pad = iovaOffset(dev, physBytes);
  const pages = granulePages(dev, sizeBytes + pad);
  if (needsCacheMaintenance(dev, attrs)) archSyncDmaForDevice(dev, physBytes - pad, pages * 4096, deferFlush);
  const prot = dmaInfoToProt(dir, dev.coherent, attrs);
  const start = addrBytes - pad;
  if (iovaOffset(dev, start) !== 0) return unfitting(dev, prot, pages);
  if (pages === 0 && !dev.machine.profile.dma.linkSizeZeroInvalid) return 0;
  return dev.domain!.mapRange(start / 4096, (physBytes - pad) / 4096, pages, prot);
}

/** @internal No page size fits, because an address is no multiple of a granule: the errno depends on what is tested first. */
export function unfitting(dev: DmaDevice, prot: number, pages: number): Errno {
  if ((prot & 3) === 0) return dev.domain!.mapRange(0, 0, 0, prot);
  if (pages === 0) return dev.machine.profile.dma.linkSizeZeroInvalid ? -EINVAL : 0;
  return dev.domain!.unfittingErrno;
}

/**
 * @internal Make a map visible, or take it back when that fails: the second half of iommu_map.
 *
 * @returns 0, or the errno of the sync; then nothing of `[iovaPage, +pages)` is mapped.
 */
export function syncMapOrUnmap(dev: DmaDevice, iovaPage: number, pages: number): Errno {
  const domain = dev.domain!;
  const err = domain.syncMap(iovaPage, pages);
  if (err === 0) return 0;
  dev.gather.reset(false);
  domain.unmapRange(iovaPage, pages, dev.gather);
  domain.sync(dev.gather);
  return err;
}
