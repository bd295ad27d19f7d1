import { defineLiveTracepoint, type Pfn, type TracepointDef } from '@gpusvm/kernel';
import type { MmuIntervalNotifier } from './mmu-interval-notifier.ts';

/*
 * What a driver does with pages that it got from hmm_range_fault and migrate_vma. Only the driver knows, so a driver
 * that wants to be checked says so; see xe-driver's device-trace.ts, and `MirrorDevice` of the sanitizer.
 */

/** A device page-table entry is written. */
export interface DeviceMapEvent {
  readonly device: string;
  /** Subscription and sequence under which the page was looked up. */
  readonly sub: MmuIntervalNotifier;
  readonly seq: number;
  /** Virtual page. */
  readonly page: number;
  readonly pfn: Pfn;
  /** The device may write through the entry. */
  readonly write: boolean;
  /** The lookup had said that the CPU's entry is writable. */
  readonly cpuWrite: boolean;
  /**
   * How the driver knows that the lookup still holds: it has just asked mmu_interval_read_retry, or it has a flag for the
   * pages that its callbacks clear (drm_gpusvm_pages_valid), which keeps an invalidation next to them from counting.
   */
  readonly check: 'read-retry' | 'pages-valid';
}

/** Device page-table entries of virtual pages are gone, with every cached copy. */
export interface DeviceUnmapEvent {
  readonly device: string;
  readonly startPage: number;
  /** Exclusive. */
  readonly endPage: number;
}

/** The device reads or writes a page; it may do so from `begin` to `end`. */
export interface DeviceAccessEvent {
  readonly phase: 'begin' | 'end';
  readonly device: string;
  /** Identity of the access. */
  readonly access: object;
  readonly page: number;
  /** -1 where the device knows no more than an address: then it is the page that its entry was made for. */
  readonly pfn: Pfn;
  readonly write: boolean;
}

/**
 * The contents of a page are being copied or cleared for a migration; complete at `done`. A device that writes through a
 * bounce buffer names the page of the buffer; the page itself is complete when the DMA layer has copied it back.
 */
export interface DeviceCopyEvent {
  readonly phase: 'start' | 'done';
  readonly device: string;
  /** -1 when the destination is cleared, or the device knows only where it writes. */
  readonly from: Pfn;
  readonly to: Pfn;
  /** The destination is cleared. */
  readonly clears: boolean;
}

/** A page of a pfn list is mapped for DMA, or no more. */
export interface DmaPfnEvent {
  readonly phase: 'map' | 'unmap';
  readonly device: string;
  readonly sub: MmuIntervalNotifier;
  readonly page: number;
  readonly pfn: Pfn;
  /** HMM_PFN_* flags of the entry after the step. */
  readonly flags: number;
  /** An IOMMU entry was made for it. */
  readonly iommu: boolean;
  /** DMA_ATTR_MMIO was given. */
  readonly mmio: boolean;
}

/** A DMA map of a pfn list is freed (hmm_dma_map_free). */
export interface DmaMapFreeEvent {
  readonly device: string;
  /** Entries that are still mapped for DMA. */
  readonly mapped: number;
}

export const DEVICE_MAP_TRACE: TracepointDef<DeviceMapEvent> = defineLiveTracepoint('device_map');
export const DEVICE_UNMAP_TRACE: TracepointDef<DeviceUnmapEvent> = defineLiveTracepoint('device_unmap');
export const DEVICE_ACCESS_TRACE: TracepointDef<DeviceAccessEvent> = defineLiveTracepoint('device_access');
export const DEVICE_COPY_TRACE: TracepointDef<DeviceCopyEvent> = defineLiveTracepoint('device_copy');
export const DMA_PFN_TRACE: TracepointDef<DmaPfnEvent> = defineLiveTracepoint('dma_pfn');
export const DMA_MAP_FREE_TRACE: TracepointDef<DmaMapFreeEvent> = defineLiveTracepoint('dma_map_free');
