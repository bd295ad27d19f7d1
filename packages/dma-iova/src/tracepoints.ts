import { defineTracepoint, type Errno, type TracepointDef } from '@gpusvm/kernel';

/** A block of physical pages was taken or given back. */
export interface PageBlockEvent {
  readonly pfn: number;
  readonly pages: number;
}

/** A reservation was made or freed. */
export interface DmaIovaEvent {
  readonly device: string;
  readonly addrBytes: number;
  readonly sizeBytes: number;
}

/** A range of a reservation was linked; also when that failed. */
export interface DmaIovaLinkEvent {
  readonly device: string;
  /** DMA address of the reservation. */
  readonly addrBytes: number;
  /** Requested size of the reservation. */
  readonly reservedBytes: number;
  readonly offsetBytes: number;
  readonly physBytes: number;
  readonly sizeBytes: number;
  readonly dir: number;
  readonly attrs: number;
  readonly err: Errno;
}

/** A range of a reservation was synced. */
export interface DmaIovaSyncEvent {
  readonly device: string;
  readonly addrBytes: number;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** A range of a reservation was unlinked. */
export interface DmaIovaUnlinkEvent {
  readonly device: string;
  readonly addrBytes: number;
  readonly reservedBytes: number;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
  /** What the page table really cleared. */
  readonly unmappedBytes: number;
  readonly dir: number;
  readonly attrs: number;
}

/** A classic mapping was made or undone. */
export interface DmaMapEvent {
  readonly device: string;
  /** DMA_MAPPING_ERROR when the mapping failed. */
  readonly dmaAddrBytes: number;
  readonly physBytes: number;
  readonly sizeBytes: number;
  readonly dir: number;
  readonly attrs: number;
}

/** iommu:map: entries were written. */
export interface IommuMapEvent {
  readonly device: string;
  readonly iovaBytes: number;
  readonly physBytes: number;
  readonly sizeBytes: number;
}

/** iommu:unmap: entries were cleared. */
export interface IommuUnmapEvent {
  readonly device: string;
  readonly iovaBytes: number;
  readonly sizeBytes: number;
  readonly unmappedBytes: number;
}

/** The IOMMU's caches were told to forget. */
export interface IotlbInvalidateEvent {
  readonly device: string;
  readonly kind: 'range' | 'domain';
  /** First byte of the naturally aligned block that is invalidated. */
  readonly iovaBytes: number;
  /** log2 of the block in 4 KiB pages; -1 for the whole domain. */
  readonly order: number;
  /** Entries of upper levels stay cached, because no table was freed. */
  readonly leafOnly: boolean;
}

/** A device access found no translation, or one that forbids it. */
export interface DmaFaultEvent {
  readonly device: string;
  readonly dmaAddrBytes: number;
  readonly access: 'read' | 'write';
  /** `stale` accesses do not fault; that is the point of watching `dma_access`. */
  readonly reason: 'not present' | 'permission' | 'no memory';
}

/** A device access that went through. */
export interface DmaAccessEvent {
  readonly device: string;
  readonly dmaAddrBytes: number;
  readonly access: 'read' | 'write';
  readonly pfn: number;
}

/** A range got a bounce slot. */
export interface SwiotlbBouncedEvent {
  readonly device: string;
  readonly physBytes: number;
  readonly slotBytes: number;
  readonly sizeBytes: number;
  readonly dir: number;
}

export const PAGE_ALLOC: TracepointDef<PageBlockEvent> = defineTracepoint('page_alloc');
export const PAGE_FREE: TracepointDef<PageBlockEvent> = defineTracepoint('page_free');
export const DMA_IOVA_ALLOC: TracepointDef<DmaIovaEvent> = defineTracepoint('dma_iova_alloc');
export const DMA_IOVA_FREE: TracepointDef<DmaIovaEvent> = defineTracepoint('dma_iova_free');
export const DMA_IOVA_LINK: TracepointDef<DmaIovaLinkEvent> = defineTracepoint('dma_iova_link');
export const DMA_IOVA_SYNC: TracepointDef<DmaIovaSyncEvent> = defineTracepoint('dma_iova_sync');
export const DMA_IOVA_UNLINK: TracepointDef<DmaIovaUnlinkEvent> = defineTracepoint('dma_iova_unlink');
export const DMA_MAP_PHYS: TracepointDef<DmaMapEvent> = defineTracepoint('dma_map_phys');
export const DMA_UNMAP_PHYS: TracepointDef<DmaMapEvent> = defineTracepoint('dma_unmap_phys');
export const IOMMU_MAP: TracepointDef<IommuMapEvent> = defineTracepoint('iommu_map');
export const IOMMU_UNMAP: TracepointDef<IommuUnmapEvent> = defineTracepoint('iommu_unmap');
export const IOTLB_INVALIDATE: TracepointDef<IotlbInvalidateEvent> = defineTracepoint('iotlb_invalidate');
export const DMA_FAULT: TracepointDef<DmaFaultEvent> = defineTracepoint('dma_fault');
export const DMA_ACCESS: TracepointDef<DmaAccessEvent> = defineTracepoint('dma_access');
export const SWIOTLB_BOUNCED: TracepointDef<SwiotlbBouncedEvent> = defineTracepoint('swiotlb_bounced');
