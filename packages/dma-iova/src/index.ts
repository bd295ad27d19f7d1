export * from './attributes.ts';
export { ByteMemory } from './byte-memory.ts';
export { Buddy, MAX_PAGE_ORDER } from './buddy.ts';
export { CoherentBuffer, type PageBlock } from './coherent-buffer.ts';
export { DmaDevice } from './device.ts';
export { type DmaDeviceOptions, type IommuMode, MSI_WINDOW, type ReservedRegion } from './device-options.ts';
export { dmaAllocCoherent, dmaFreeCoherent } from './dma-coherent.ts';
export type { DmaTracepoints } from './dma-tracepoints.ts';
export { type DmaCounterName, dmaCounters } from './dma-counters.ts';
export { dmaIovaUnlinkRuns, packDescending } from './dma-iova-runs.ts';
export { dmaIovaPages, DmaIovaState, dmaUseIova } from './dma-iova-state.ts';
export { type DestroyHolesReport, dmaIovaDestroyHoles } from './dma-iova-holes.ts';
export {
  dmaIovaDestroy,
  dmaIovaFree,
  dmaIovaLink,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaIovaUnlink,
} from './dma-iova.ts';
export {
  dmaAddressingLimited,
  dmaGetMergeBoundary,
  dmaMaxMappingSize,
  dmaNeedSync,
  dmaOptMappingSize,
} from './dma-limits.ts';
export { dmaMapSg, dmaUnmapSg } from './dma-map-sg.ts';
export {
  dmaMapPage,
  dmaMapPhys,
  dmaMappingError,
  dmaMapResource,
  dmaUnmapPage,
  dmaUnmapPhys,
  dmaUnmapResource,
} from './dma-map.ts';
export {
  dmaSyncSgForCpu,
  dmaSyncSgForDevice,
  dmaSyncSingleForCpu,
  dmaSyncSingleForDevice,
} from './dma-sync.ts';
export { DramView } from './dram-view.ts';
export { FLUSH_QUEUE_GEOMETRY, FlushQueue, type FlushQueueKind } from './flush-queue.ts';
export type { IoPageTableFormat, IoPageTableName, UnmapModel } from './io-page-table/format.ts';
export { IO_PAGE_TABLES } from './io-page-table/formats.ts';
export { encodeVtdTables } from './io-page-table/vtd-encode.ts';
export type { IommuDomain, IommuDomainCapabilities, UnmapHolesResult } from './iommu-domain.ts';
export { IotlbGather } from './iotlb-gather.ts';
export type { IovaAllocator, IovaAllocatorName } from './iova/iova-allocator.ts';
export { iovaAllocator } from './iova/iova-allocators.ts';
export { LinuxRbtree } from './iova/linux-rbtree.ts';
export { SegmentTree } from './iova/segment-tree.ts';
export {
  compareIovaTrace,
  type IovaTraceOptions,
  type IovaTraceReport,
  type TraceDifference,
} from './iova/trace-compare.ts';
export type { IovaTraceEvent } from './iova/trace-event.ts';
export { iommuIovaToPhys, iommuMap, iommuUnmap } from './iommu-map.ts';
export { p2pdmaBusAddr, p2pdmaMapType, type P2pClient, type P2pMapType, type P2pProvider } from './p2pdma.ts';
export { PageBlocks } from './page-blocks.ts';
export { PeerMemory } from './peer-memory.ts';
export { PagingDomain } from './paging-domain.ts';
export type { PagingDomainOptions } from './paging-domain-options.ts';
export { NO_PFN, NO_TAG, type PhysicalMemory } from './physical-memory.ts';
export { ScatterList } from './scatter-list.ts';
export { Swiotlb } from './swiotlb.ts';
export { maxBounceBytes, SEGMENT_SLOTS, SLOT_BYTES } from './swiotlb-pool.ts';
export { TagMemory } from './tag-memory.ts';
export * from './tracepoints.ts';
