import type { Errno, Pfn } from '@gpusvm/kernel';
import type { IotlbGather } from './iotlb-gather.ts';

/** What {@link IommuDomain.unmapHoles} reports. */
export interface UnmapHolesResult {
  readonly clearedPages: number;
  /** Maximal runs of pages that were not mapped. */
  readonly holes: number;
  /** IOVA page of the first hole; -1 when there is none. */
  readonly firstHolePage: number;
}

/** What a domain can do. A simulated page table can do all of it; a native one declares what it cannot. */
export interface IommuDomainCapabilities {
  /** A range inside of what one map made can be unmapped, where the leaves of the page table allow it. */
  readonly subAreaUnmap: boolean;
  /** A translation may stay cached after its unmap until {@link IommuDomain.sync}. */
  readonly deferredFlush: boolean;
  /** `translate` asks the page table of the hardware, not a record of what was mapped. */
  readonly physicalAddresses: boolean;
  /** Pages of the page table can be counted, and leaves seen as the hardware sees them. */
  readonly tables: boolean;
}

/**
 * A paging domain of an IOMMU (struct iommu_domain with its page table): the seam to a native backend.
 *
 * All numbers are 4 KiB pages; ranges are multiples of the smallest leaf. Nothing here sleeps. The caller owns the IOVA range that it works on.
 */
export interface IommuDomain {
  /** Absent: everything. */
  readonly capabilities?: IommuDomainCapabilities;
  /** Format of the page table, for reports. */
  readonly format: string;
  /** Leaf sizes as log2 of 4 KiB pages, ascending (pgsize_bitmap). The first one is the granule of IOVAs. */
  readonly leafOrders: readonly number[];
  /**
   * What a map gives that is no multiple of the smallest leaf: -ENXIO (generic_pt) or -EINVAL (iommu_map's own test,
   * for drivers with `map_pages`).
   */
  readonly unfittingErrno: Errno;
  /**
   * Whether one gather may hold ranges that do not touch. Otherwise (PT_FEAT_FLUSH_RANGE_NO_GAPS: AMD with NpCache) it
   * is synced before such a range is added.
   */
  readonly gathersGaps: boolean;
  /** Table entries that a walk to the smallest leaf loads; it may grow. */
  readonly levels: number;
  /** Last IOVA page of the aperture. */
  readonly apertureLastPage: number;
  /** 4 KiB pages that translate now. */
  readonly mappedPages: number;
  /** Page-table pages below the root that are in use, those awaiting an invalidation included. */
  readonly tables: number;
  /**
   * Map a range, all or nothing, without making it visible to the IOTLB (iommu_map_nosync).
   *
   * @param prot - IOMMU_READ, IOMMU_WRITE and so on.
   * @returns 0; -EINVAL (no permission, with a warning; no pages), -ERANGE, -ENOMEM, -EADDRINUSE or what the format
   *   gives for an occupied slot. What was mapped before the error is unmapped again, with its own invalidation.
   */
  mapRange(iovaPage: number, pfn: Pfn, pages: number, prot: number): Errno;
  /**
   * Unmap a range (iommu_unmap_fast); the gather collects what has to be invalidated.
   *
   * @returns pages unmapped as the format counts them: less than asked at a hole, more for a large leaf.
   */
  unmapRange(iovaPage: number, pages: number, gather: IotlbGather): number;
  /** Unmap whatever is mapped in a range; holes are stepped over. The result object is reused. */
  unmapHoles(iovaPage: number, pages: number, gather: IotlbGather): UnmapHolesResult;
  /**
   * Make new mappings visible (iotlb_sync_map).
   *
   * @returns 0 or the driver's errno; on error the caller unmaps what it has mapped.
   */
  syncMap(iovaPage: number, pages: number): Errno;
  /** Invalidate what a gather collected and free its tables; nothing when it is empty (iommu_iotlb_sync). */
  sync(gather: IotlbGather): void;
  /** Forget every cached translation (flush_iotlb_all). */
  flushAll(): void;
  /** Free a chain of tables whose invalidation has happened. */
  releaseTables(chain: number): void;
  /** Translation of the page table; NO_PFN when there is none. Not what a device sees: no IOTLB. */
  translate(iovaPage: number): Pfn;
  /**
   * Translation as a device access sees it: IOTLB, page-walk cache, page table.
   *
   * @param access - IOMMU_READ or IOMMU_WRITE.
   * @returns NO_PFN when not present or not permitted.
   */
  deviceTranslate(iovaPage: number, access: number): Pfn;
  /** Visit leaves in address order, for reports. A leaf that overlaps an edge of `[first, end)` is visited whole. */
  forEachLeaf(fn: (iovaPage: number, pfn: Pfn, pages: number) => void, first?: number, end?: number): void;
}
