import { DMA_TO_DEVICE, type DmaDataDirection } from './attributes.ts';
import type { DmaDevice } from './device.ts';
import { iovaOffset } from './iova-granule.ts';
import type { ScatterList } from './scatter-list.ts';

/** Sizes of kmalloc caches that are no power of two. */
const ODD_CACHES: readonly number[] = [96, 192];

/**
 * Whether a mapping of a translated device goes through a bounce slot (dev_use_swiotlb and iova_unaligned of
 * drivers/iommu/dma-iommu.c): an untrusted device must not see the bytes beside the buffer, and cache maintenance
 * must not hit what shares a cache line with a small kmalloc buffer.
 */
export function needsBounce(
  dev: DmaDevice,
  physBytes: number,
  sizeBytes: number,
  dir: DmaDataDirection,
): boolean {
  if (dev.swiotlb === null) return false;
  if (!dev.untrusted && !kmallocNeedsBounce(dev, sizeBytes, dir)) return false;
  return iovaOffset(dev, physBytes) !== 0 || iovaOffset(dev, sizeBytes) !== 0;
}

/**
 * Whether the segments of a list are mapped one by one (dev_use_sg_swiotlb): always for an untrusted device, aligned
 * or not, and when a segment may be a small kmalloc buffer.
 */
export function sgNeedsBounce(dev: DmaDevice, sg: ScatterList, dir: DmaDataDirection): boolean {
  if (dev.swiotlb === null) return false;
  if (dev.untrusted) return true;
  for (let i = 0; i < sg.count; i++) {
    if (kmallocNeedsBounce(dev, sg.lengthBytes[i]!, dir)) return true;
  }
  return false;
}

/**
 * Whether a buffer of that size may share a cache line with another kmalloc object that cache maintenance would
 * damage (dma_kmalloc_needs_bounce; CONFIG_DMA_BOUNCE_UNALIGNED_KMALLOC).
 */
export function kmallocNeedsBounce(dev: DmaDevice, sizeBytes: number, dir: DmaDataDirection): boolean {
  const line = dev.kmallocAlignBytes;
  if (line === 0 || dev.coherent || dir === DMA_TO_DEVICE) return false;
  return sizeBytes < 2 * line && kmallocSize(sizeBytes) % line !== 0;
}

/** Whether something has to be bounced and the pool is inactive: said once (iommu_dma_map_swiotlb). */
export function warnInactive(dev: DmaDevice): boolean {
  if (dev.swiotlb!.active) return false;
  dev.machine.warnOnce(
    'iommu_dma_map_swiotlb: inactive',
    `${dev.name}: the bounce pool is inactive, a part of a page cannot be mapped; give it swiotlbPages`,
  );
  return true;
}

/** Size of the object that kmalloc returns (kmalloc_size_roundup). */
function kmallocSize(sizeBytes: number): number {
  let size = 8;
  while (size < sizeBytes) size *= 2;
  for (const odd of ODD_CACHES) if (odd >= sizeBytes && odd < size) return odd;
  return size;
}
