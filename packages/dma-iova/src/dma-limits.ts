import type { DmaDevice } from './device.ts';
import { maxBounceBytes } from './swiotlb-pool.ts';

/** Granule minus one of a translated device: what may be merged without gaps (dma_get_merge_boundary); 0 if direct. */
export function dmaGetMergeBoundary(dev: DmaDevice): number {
  return dev.domain === null ? 0 : dev.granuleBytes - 1;
}

/**
 * Largest mapping in bytes that is fast (dma_opt_mapping_size): what the IOVA caches serve, 128 KiB when translated,
 * whatever the granule (the kernel computes it from PAGE_SIZE), and no more than {@link dmaMaxMappingSize}.
 */
export function dmaOptMappingSize(dev: DmaDevice): number {
  return Math.min(dmaMaxMappingSize(dev), dev.iova === null ? Number.POSITIVE_INFINITY : 32 * 4096);
}

/**
 * Largest mapping in bytes (dma_max_mapping_size): what a bounce slot holds (256 KiB unless configured, less with an alignment mask)
 * for an untrusted device, also when its pool is inactive, and for one that bounces everything or cannot address all of
 * memory; otherwise no limit (infinity).
 */
export function dmaMaxMappingSize(dev: DmaDevice): number {
  const { swiotlb } = dev;
  if (swiotlb === null) return Number.POSITIVE_INFINITY;
  const bounces =
    dev.domain !== null
      ? dev.untrusted
      : swiotlb.active && (dev.mode === 'swiotlb' || dmaAddressingLimited(dev));
  return bounces ? maxBounceBytes(dev.minAlignMask, swiotlb.segmentSlots) : Number.POSITIVE_INFINITY;
}

/**
 * Whether mappings of the device may need dma_sync_* calls (dma_dev_need_sync): it does not snoop, or may be bounced. The kernel
 * says so from the first bounce on.
 */
export function dmaNeedSync(dev: DmaDevice): boolean {
  return !dev.coherent || dev.swiotlb !== null;
}

/** Whether the device cannot address all of memory by itself (dma_addressing_limited). */
export function dmaAddressingLimited(dev: DmaDevice): boolean {
  return dev.domain === null && dev.limitPage < dev.memory.totalPages - 1;
}
