import { type DmaDevice, IOMMU_READ, IOMMU_WRITE, IotlbGather } from '@gpusvm/dma-iova';
import type { Errno } from '@gpusvm/kernel';

/** First page of the guest memory that the user below maps; far from what the allocator hands out. */
export const GUEST_PAGE: number = 2 ** 22;

/** Map guest memory straight into a domain, as VFIO does (iommu_map). */
export function domainMap(dev: DmaDevice, page: number, pfn: number, pages: number): Errno {
  const err = dev.domain!.mapRange(page, pfn, pages, IOMMU_READ | IOMMU_WRITE);
  return err === 0 ? dev.domain!.syncMap(page, pages) : err;
}

/**
 * Unmap and invalidate (iommu_unmap). A range that ends inside a large leaf takes the whole leaf: the user of this
 * interface is told so by the result.
 *
 * @returns pages really unmapped.
 */
export function domainUnmap(dev: DmaDevice, page: number, pages: number): number {
  const gather = new IotlbGather();
  const unmapped = dev.domain!.unmapRange(page, pages, gather);
  dev.domain!.sync(gather);
  return unmapped;
}
