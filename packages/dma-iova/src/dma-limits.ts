import type { DmaDevice } from './device.ts';

/** Granule minus one of a translated device: what may be merged without gaps (dma_get_merge_boundary); 0 if direct. */
export function dmaGetMergeBoundary(dev: DmaDevice): number {
  return dev.domain === null ? 0 : 4095;
}

/**
 * Largest mapping in bytes that the IOVA caches serve (dma_opt_mapping_size): 128 KiB when translated, otherwise no
 * limit (infinity).
 */
export function dmaOptMappingSize(dev: DmaDevice): number {
  return dev.iova === null ? Number.POSITIVE_INFINITY : 32 * 4096;
}

/**
 * Largest mapping in bytes (dma_max_mapping_size): what a bounce slot holds when everything is bounced, otherwise
 * no limit (infinity). The kernel's slots end at 256 KiB, ours at 2 MiB.
 */
export function dmaMaxMappingSize(dev: DmaDevice): number {
  return dev.mode === 'swiotlb' ? 512 * 4096 : Number.POSITIVE_INFINITY;
}

/** Whether mappings of the device need dma_sync_* calls (dma_need_sync): it does not snoop, or is bounced. */
export function dmaNeedSync(dev: DmaDevice): boolean {
  return !dev.coherent || dev.swiotlb !== null;
}

/** Whether the device cannot address all of memory by itself (dma_addressing_limited). */
export function dmaAddressingLimited(dev: DmaDevice): boolean {
  return dev.domain === null && dev.limitPage < dev.memory.totalPages - 1;
}
