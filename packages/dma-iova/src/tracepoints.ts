import { defineTracepoint, type Errno, type TracepointDef } from '@gpusvm/kernel';
import type { CoherentBuffer } from './coherent-buffer.ts';
import type { DmaDevice } from './device.ts';
import type { DmaIovaState } from './dma-iova-state.ts';
import type { ScatterList } from './scatter-list.ts';
import type { Swiotlb } from './swiotlb.ts';

/*
 * Events carry plain numbers and names, so that a trace can be written down and compared. A listener that taps a
 * tracepoint is given what the layer passed on, see the tuple beside each event: the device and the state
 * themselves, and no object is made.
 */

/** A device was made, or is about to be destroyed. */
export interface DmaDeviceEvent {
  readonly device: string;
}

/** A block of physical pages was taken or given back. */
export interface PageBlockEvent {
  readonly pfn: number;
  readonly pages: number;
}
export type PageBlockArgs = readonly [pfn: number, pages: number];

/** A reservation was made. */
export interface DmaIovaEvent {
  readonly device: string;
  readonly addrBytes: number;
  readonly sizeBytes: number;
}
export type DmaIovaAllocArgs = readonly [dev: DmaDevice, state: DmaIovaState];

/** Function of the two-step API on whose behalf something is unlinked or freed. */
export type DmaIovaApi =
  | 'dma_iova_unlink'
  | 'dma_iova_free'
  | 'dma_iova_destroy'
  | 'dma_iova_unlink_runs'
  | 'dma_iova_with_holes_destroy';

/** A reservation was freed, in this length. */
export interface DmaIovaFreeEvent extends DmaIovaEvent {
  readonly api: DmaIovaApi;
}
export type DmaIovaFreeArgs = readonly [
  dev: DmaDevice,
  state: DmaIovaState,
  sizeBytes: number,
  api: DmaIovaApi,
];

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
export type DmaIovaLinkArgs = readonly [
  dev: DmaDevice,
  state: DmaIovaState,
  physBytes: number,
  offsetBytes: number,
  sizeBytes: number,
  dir: number,
  attrs: number,
  err: Errno,
];

/** A range of a reservation was synced; also when that failed. */
export interface DmaIovaSyncEvent {
  readonly device: string;
  readonly addrBytes: number;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
  readonly err: Errno;
}
export type DmaIovaSyncArgs = readonly [
  dev: DmaDevice,
  state: DmaIovaState,
  offsetBytes: number,
  sizeBytes: number,
  err: Errno,
];

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
  readonly api: DmaIovaApi;
}
export type DmaIovaUnlinkArgs = readonly [
  dev: DmaDevice,
  state: DmaIovaState,
  offsetBytes: number,
  sizeBytes: number,
  unmappedBytes: number,
  dir: number,
  attrs: number,
  api: DmaIovaApi,
];

/** A classic mapping was made or undone. */
export interface DmaMapEvent {
  readonly device: string;
  /** DMA_MAPPING_ERROR when the mapping failed. */
  readonly dmaAddrBytes: number;
  /** -1 in an unmap. */
  readonly physBytes: number;
  readonly sizeBytes: number;
  readonly dir: number;
  readonly attrs: number;
}
export type DmaMapArgs = readonly [
  dev: DmaDevice,
  dmaAddrBytes: number,
  physBytes: number,
  sizeBytes: number,
  dir: number,
  attrs: number,
];

/**
 * A scatter list was mapped, or is about to be unmapped. Unless a translated device maps it as one range, its segments
 * have map and unmap events of their own, but for bus addresses of peers, which have none.
 */
export interface DmaSgEvent {
  readonly device: string;
  /** Segments of the list. */
  readonly segments: number;
  /** DMA segments; 0 when the mapping failed. */
  readonly mapped: number;
  /** First DMA address. */
  readonly dmaAddrBytes: number;
  readonly dir: number;
  readonly attrs: number;
}
export type DmaSgArgs = readonly [dev: DmaDevice, sg: ScatterList, dir: number, attrs: number];

/** Coherent memory was allocated, or is about to be freed. */
export interface DmaCoherentEvent {
  readonly device: string;
  readonly dmaAddrBytes: number;
  readonly sizeBytes: number;
}
export type DmaCoherentArgs = readonly [dev: DmaDevice, buffer: CoherentBuffer];

/** The CPU or the device takes over a live mapping (dma_sync_single_for_cpu and for_device). */
export interface DmaSyncSingleEvent {
  readonly device: string;
  readonly dmaAddrBytes: number;
  readonly sizeBytes: number;
  readonly dir: number;
  readonly forCpu: boolean;
}
export type DmaSyncSingleArgs = readonly [
  dev: DmaDevice,
  dmaAddrBytes: number,
  sizeBytes: number,
  dir: number,
  forCpu: boolean,
];

/** iommu:map: entries were written. */
export interface IommuMapEvent {
  readonly device: string;
  readonly iovaBytes: number;
  readonly physBytes: number;
  readonly sizeBytes: number;
  /** IOMMU_READ, IOMMU_WRITE and so on. */
  readonly prot: number;
}
export type IommuMapArgs = readonly [
  domain: string,
  iovaPage: number,
  pfn: number,
  pages: number,
  prot: number,
];

/** iommu:unmap: entries were cleared. */
export interface IommuUnmapEvent {
  readonly device: string;
  readonly iovaBytes: number;
  readonly sizeBytes: number;
  readonly unmappedBytes: number;
  /** Holes were stepped over: what was cleared is a sum, not a prefix. */
  readonly overHoles: boolean;
}
export type IommuUnmapArgs = readonly [
  domain: string,
  iovaPage: number,
  pages: number,
  unmappedPages: number,
  overHoles: boolean,
];

/** A table page was taken out of the tree, or reached the allocator again. */
export interface IommuTableEvent {
  readonly device: string;
  /** Number of the table page in its domain. */
  readonly table: number;
  /** What it translated; 0 bytes when it is freed. */
  readonly iovaBytes: number;
  readonly sizeBytes: number;
}
export type IommuTableArgs = readonly [domain: string, table: number, iovaPage: number, pages: number];

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
export type IotlbInvalidateArgs = readonly [
  domain: string,
  iovaPage: number,
  order: number,
  leafOnly: boolean,
];

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
export type DmaAccessArgs = readonly [
  dev: DmaDevice,
  dmaAddrBytes: number,
  access: 'read' | 'write',
  pfn: number,
];

/** A range got a bounce slot, or gave it back. */
export interface SwiotlbEvent {
  readonly device: string;
  readonly physBytes: number;
  readonly slotBytes: number;
  readonly sizeBytes: number;
  readonly dir: number;
  readonly attrs: number;
}
export type SwiotlbArgs = readonly [
  device: string,
  physBytes: number,
  slotBytes: number,
  sizeBytes: number,
  dir: number,
  attrs: number,
];

/** A range got no bounce slot, and the caller did not say DMA_ATTR_NO_WARN: the kernel logs that its buffer is full. */
export interface SwiotlbFullEvent {
  readonly device: string;
  /** Bytes that were asked for, alignment included. */
  readonly sizeBytes: number;
  readonly totalSlots: number;
  readonly usedSlots: number;
}
export type SwiotlbFullArgs = readonly [device: string, sizeBytes: number, swiotlb: Swiotlb];

export const DMA_DEVICE_CREATE: TracepointDef<DmaDeviceEvent, readonly [dev: DmaDevice]> = defineTracepoint(
  'dma_device_create',
  (dev: DmaDevice) => ({ device: dev.name }),
);
export const DMA_DEVICE_DESTROY: TracepointDef<DmaDeviceEvent, readonly [dev: DmaDevice]> = defineTracepoint(
  'dma_device_destroy',
  (dev: DmaDevice) => ({ device: dev.name }),
);
export const PAGE_ALLOC: TracepointDef<PageBlockEvent, PageBlockArgs> = defineTracepoint(
  'page_alloc',
  pageBlock,
);
export const PAGE_FREE: TracepointDef<PageBlockEvent, PageBlockArgs> = defineTracepoint(
  'page_free',
  pageBlock,
);
export const DMA_IOVA_ALLOC: TracepointDef<DmaIovaEvent, DmaIovaAllocArgs> = defineTracepoint(
  'dma_iova_alloc',
  (dev, state) => ({ device: dev.name, addrBytes: state.addr, sizeBytes: state.size }),
);
export const DMA_IOVA_FREE: TracepointDef<DmaIovaFreeEvent, DmaIovaFreeArgs> = defineTracepoint(
  'dma_iova_free',
  (dev, state, sizeBytes, api) => ({ device: dev.name, addrBytes: state.addr, sizeBytes, api }),
);
export const DMA_IOVA_LINK: TracepointDef<DmaIovaLinkEvent, DmaIovaLinkArgs> = defineTracepoint(
  'dma_iova_link',
  (dev, state, physBytes, offsetBytes, sizeBytes, dir, attrs, err) => ({
    device: dev.name,
    addrBytes: state.addr,
    reservedBytes: state.size,
    offsetBytes,
    physBytes,
    sizeBytes,
    dir,
    attrs,
    err,
  }),
);
export const DMA_IOVA_SYNC: TracepointDef<DmaIovaSyncEvent, DmaIovaSyncArgs> = defineTracepoint(
  'dma_iova_sync',
  (dev, state, offsetBytes, sizeBytes, err) => ({
    device: dev.name,
    addrBytes: state.addr,
    offsetBytes,
    sizeBytes,
    err,
  }),
);
export const DMA_IOVA_UNLINK: TracepointDef<DmaIovaUnlinkEvent, DmaIovaUnlinkArgs> = defineTracepoint(
  'dma_iova_unlink',
  (dev, state, offsetBytes, sizeBytes, unmappedBytes, dir, attrs, api) => ({
    device: dev.name,
    addrBytes: state.addr,
    reservedBytes: state.size,
    offsetBytes,
    sizeBytes,
    unmappedBytes,
    dir,
    attrs,
    api,
  }),
);
export const DMA_MAP_PHYS: TracepointDef<DmaMapEvent, DmaMapArgs> = defineTracepoint(
  'dma_map_phys',
  mapEvent,
);
export const DMA_UNMAP_PHYS: TracepointDef<DmaMapEvent, DmaMapArgs> = defineTracepoint(
  'dma_unmap_phys',
  mapEvent,
);
export const DMA_MAP_SG: TracepointDef<DmaSgEvent, DmaSgArgs> = defineTracepoint('dma_map_sg', sgEvent);
export const DMA_UNMAP_SG: TracepointDef<DmaSgEvent, DmaSgArgs> = defineTracepoint('dma_unmap_sg', sgEvent);
export const DMA_ALLOC_COHERENT: TracepointDef<DmaCoherentEvent, DmaCoherentArgs> = defineTracepoint(
  'dma_alloc_coherent',
  coherentEvent,
);
export const DMA_FREE_COHERENT: TracepointDef<DmaCoherentEvent, DmaCoherentArgs> = defineTracepoint(
  'dma_free_coherent',
  coherentEvent,
);
export const DMA_SYNC_SINGLE: TracepointDef<DmaSyncSingleEvent, DmaSyncSingleArgs> = defineTracepoint(
  'dma_sync_single',
  (dev, dmaAddrBytes, sizeBytes, dir, forCpu) => ({ device: dev.name, dmaAddrBytes, sizeBytes, dir, forCpu }),
);
export const IOMMU_MAP: TracepointDef<IommuMapEvent, IommuMapArgs> = defineTracepoint(
  'iommu_map',
  (device, iovaPage, pfn, pages, prot) => ({
    device,
    iovaBytes: iovaPage * 4096,
    physBytes: pfn * 4096,
    sizeBytes: pages * 4096,
    prot,
  }),
);
export const IOMMU_UNMAP: TracepointDef<IommuUnmapEvent, IommuUnmapArgs> = defineTracepoint(
  'iommu_unmap',
  (device, iovaPage, pages, unmappedPages, overHoles) => ({
    device,
    iovaBytes: iovaPage * 4096,
    sizeBytes: pages * 4096,
    unmappedBytes: unmappedPages * 4096,
    overHoles,
  }),
);
export const IOMMU_TABLE_UNLINK: TracepointDef<IommuTableEvent, IommuTableArgs> = defineTracepoint(
  'iommu_table_unlink',
  tableEvent,
);
export const IOMMU_TABLE_FREE: TracepointDef<IommuTableEvent, IommuTableArgs> = defineTracepoint(
  'iommu_table_free',
  tableEvent,
);
export const IOTLB_INVALIDATE: TracepointDef<IotlbInvalidateEvent, IotlbInvalidateArgs> = defineTracepoint(
  'iotlb_invalidate',
  (device, iovaPage, order, leafOnly) => ({
    device,
    kind: order < 0 ? 'domain' : 'range',
    iovaBytes: iovaPage * 4096,
    order,
    leafOnly,
  }),
);
export const DMA_FAULT: TracepointDef<DmaFaultEvent> = defineTracepoint('dma_fault');
export const DMA_ACCESS: TracepointDef<DmaAccessEvent, DmaAccessArgs> = defineTracepoint(
  'dma_access',
  (dev, dmaAddrBytes, access, pfn) => ({ device: dev.name, dmaAddrBytes, access, pfn }),
);
export const SWIOTLB_BOUNCED: TracepointDef<SwiotlbEvent, SwiotlbArgs> = defineTracepoint(
  'swiotlb_bounced',
  swiotlbEvent,
);
export const SWIOTLB_UNBOUNCED: TracepointDef<SwiotlbEvent, SwiotlbArgs> = defineTracepoint(
  'swiotlb_unbounced',
  swiotlbEvent,
);
export const SWIOTLB_FULL: TracepointDef<SwiotlbFullEvent, SwiotlbFullArgs> = defineTracepoint(
  'swiotlb_full',
  (device, sizeBytes, { totalSlots, usedSlots }) => ({ device, sizeBytes, totalSlots, usedSlots }),
);

function pageBlock(pfn: number, pages: number): PageBlockEvent {
  return { pfn, pages };
}

function mapEvent(...[dev, dmaAddrBytes, physBytes, sizeBytes, dir, attrs]: DmaMapArgs): DmaMapEvent {
  return { device: dev.name, dmaAddrBytes, physBytes, sizeBytes, dir, attrs };
}

function sgEvent(...[dev, sg, dir, attrs]: DmaSgArgs): DmaSgEvent {
  return {
    device: dev.name,
    segments: sg.count,
    mapped: sg.mapped,
    dmaAddrBytes: sg.mapped === 0 ? 0 : sg.dmaAddrBytes[0]!,
    dir,
    attrs,
  };
}

function coherentEvent(...[dev, { dmaAddrBytes, sizeBytes }]: DmaCoherentArgs): DmaCoherentEvent {
  return { device: dev.name, dmaAddrBytes, sizeBytes };
}

function tableEvent(...[device, table, iovaPage, pages]: IommuTableArgs): IommuTableEvent {
  return { device, table, iovaBytes: iovaPage * 4096, sizeBytes: pages * 4096 };
}

function swiotlbEvent(...[device, physBytes, slotBytes, sizeBytes, dir, attrs]: SwiotlbArgs): SwiotlbEvent {
  return { device, physBytes, slotBytes, sizeBytes, dir, attrs };
}
