/** Transfer direction (enum dma_data_direction), kernel values. */
export type DmaDataDirection = 0 | 1 | 2 | 3;
export const DMA_BIDIRECTIONAL: 0 = 0;
export const DMA_TO_DEVICE: 1 = 1;
export const DMA_FROM_DEVICE: 2 = 2;
export const DMA_NONE: 3 = 3;

/** Returned where the kernel returns DMA_MAPPING_ERROR (all ones). */
export const DMA_MAPPING_ERROR: -1 = -1;

/** No CPU cache maintenance and no bounce copy. */
export const DMA_ATTR_SKIP_CPU_SYNC: number = 1 << 5;
/** A coherent allocation is physically contiguous even behind an IOMMU. */
export const DMA_ATTR_FORCE_CONTIGUOUS: number = 1 << 6;
/** A coherent allocation is made of pages of the smallest size. */
export const DMA_ATTR_ALLOC_SINGLE_PAGES: number = 1 << 7;
/** No message when the bounce pool is full; an address beyond the mask is warned about all the same. */
export const DMA_ATTR_NO_WARN: number = 1 << 8;
/** Protection IOMMU_PRIV: only privileged accesses of the device. */
export const DMA_ATTR_PRIVILEGED: number = 1 << 9;
/** The physical address is MMIO: no struct page, no cache, never bounced. */
export const DMA_ATTR_MMIO: number = 1 << 10;
/** Fail instead of bouncing or syncing (7.3). */
export const DMA_ATTR_REQUIRE_COHERENT: number = 1 << 12;
/** The memory is shared (decrypted) memory of a confidential guest: mapped directly or not at all (7.3). */
export const DMA_ATTR_CC_SHARED: number = 1 << 13;

/** Protection bits of an IO page-table entry (IOMMU_READ and so on), kernel values. */
export const IOMMU_READ: 1 = 1;
export const IOMMU_WRITE: 2 = 2;
export const IOMMU_CACHE: 4 = 4;
export const IOMMU_MMIO: 16 = 16;
export const IOMMU_PRIV: 32 = 32;

/** Two bits a direction: BIDIRECTIONAL, TO_DEVICE, FROM_DEVICE, NONE, from the lowest. */
const DIRECTION_RIGHTS = IOMMU_READ | IOMMU_WRITE | (IOMMU_READ << 2) | (IOMMU_WRITE << 4);

/** IOMMU_READ and IOMMU_WRITE as a direction needs them. */
export function directionRights(dir: DmaDataDirection): number {
  return (DIRECTION_RIGHTS >>> (2 * dir)) & 3;
}

/**
 * Protection for a direction (dma_info_to_prot of drivers/iommu/dma-iommu.c, 7.3).
 *
 * @param dir - NONE gives no permission, which the page table then refuses.
 * @param coherent - the device snoops CPU caches.
 * @param attrs - MMIO replaces CACHE; PRIVILEGED adds PRIV.
 */
export function dmaInfoToProt(dir: DmaDataDirection, coherent: boolean, attrs: number): number {
  const cache = (attrs & DMA_ATTR_MMIO) !== 0 ? IOMMU_MMIO : coherent ? IOMMU_CACHE : 0;
  const privileged = (attrs & DMA_ATTR_PRIVILEGED) !== 0 ? IOMMU_PRIV : 0;
  const rights = directionRights(dir);
  return rights === 0 ? 0 : rights | cache | privileged;
}
