import type { Machine } from '@gpusvm/kernel';
import type { FlushQueueKind } from './flush-queue.ts';
import type { IoPageTableName } from './io-page-table/format.ts';
import { IO_PAGE_TABLES } from './io-page-table/formats.ts';
import type { IommuDomain } from './iommu-domain.ts';
import type { IovaAllocator, IovaAllocatorName } from './iova/iova-allocator.ts';
import type { P2pClient } from './p2pdma.ts';
import { PagingDomain } from './paging-domain.ts';

/**
 * How a device reaches memory: `none` (no IOMMU, or identity: a DMA address is a physical address), `strict` and
 * `lazy` (translated; unmaps are invalidated at once, or in bulk), `swiotlb` (not translated, everything bounced).
 */
export type IommuMode = 'none' | 'strict' | 'lazy' | 'swiotlb';

/** Bytes of IOVA space that must not be handed out. */
export interface ReservedRegion {
  readonly firstByte: number;
  readonly lastByte: number;
}

/** DMA configuration of a device. */
export interface DmaDeviceOptions {
  readonly name: string;
  readonly iommu: IommuMode;
  /** Width of the DMA mask; default 48. 0 = no limit from this side. */
  readonly dmaMaskBits?: number;
  /** Width that the bus passes on; default 0 = no limit. */
  readonly busDmaLimitBits?: number;
  /** The device snoops CPU caches; default true. Otherwise every mapping does cache maintenance. */
  readonly coherent?: boolean;
  /** External device: page parts that do not belong to a buffer are bounced; default false. */
  readonly untrusted?: boolean;
  /** IO page-table format; default `vtd` (the kernel profile turns it into its legacy form). */
  readonly ioPageTable?: IoPageTableName;
  /** Levels of the IO page table; default the format's usual number. */
  readonly ioPageTableLevels?: number;
  /** Default `linux-rbtree`. */
  readonly iovaAllocator?: IovaAllocatorName;
  /** Start without the preference for addresses below 4 GiB (iommu.forcedac=1); default false. */
  readonly forcedac?: boolean;
  /** IOVA bytes that are never handed out; default the MSI window of x86. */
  readonly reservedRegions?: readonly ReservedRegion[];
  /** Virtual IOMMU that caches absent entries (VT-d caching mode, AMD NpCache); default false. */
  readonly cachingMode?: boolean;
  /** The device has a TLB of its own (ATS); default false. */
  readonly ats?: boolean;
  /** Form of the flush queue of a lazy domain; default `per-cpu`. */
  readonly flushQueue?: FlushQueueKind;
  /**
   * Most pages of the bounce pool, where there is one: the device is untrusted, bounces small kmalloc buffers, has
   * mode `swiotlb`, or has mode `none` and this option (then what its mask does not reach is bounced). Default 16384
   * (64 MiB, IO_TLB_DEFAULT_SIZE); 0 = the pool is inactive (swiotlb=noforce).
   */
  readonly swiotlbPages?: number;
  /**
   * Longest mapping that can be bounced, a power of two of at least 2 KiB and at most 2 MiB; default 256 KiB as the
   * kernel is built (IO_TLB_SEGSIZE slots of 2 KiB). With it a 2 MiB folio cannot be bounced at all.
   */
  readonly swiotlbSegmentBytes?: number;
  /** Offset bits of an address that a bounce slot keeps (dma_set_min_align_mask); default 0, NVMe has 4095. */
  readonly minAlignMask?: number;
  /**
   * Cache line to which kmalloc does not align (CONFIG_DMA_BOUNCE_UNALIGNED_KMALLOC): a device that does not snoop
   * bounces smaller buffers that it writes to. Default 0: kmalloc aligns.
   */
  readonly kmallocAlignBytes?: number;
  /** Longest segment that {@link dmaMapSg} joins (dma_set_max_seg_size); default 65536. */
  readonly maxSegmentBytes?: number;
  /** No DMA segment crosses a multiple of this, a power of two (dma_set_seg_boundary plus one); default 2^32. */
  readonly segmentBoundaryBytes?: number;
  /** Width of the mask of coherent allocations (dma_set_coherent_mask); default `dmaMaskBits`; 0 = not set. */
  readonly coherentMaskBits?: number;
  /** Where the device sits, for peer memory; default below a root port of its own, behind an allowed host bridge. */
  readonly p2p?: P2pClient;
  /** Another IOMMU in place of the simulated one, for modes `strict` and `lazy`. */
  readonly domain?: IommuDomain;
}

/** The MSI doorbell window that x86 IOMMUs reserve (fee00000-feefffff). */
export const MSI_WINDOW: ReservedRegion = {
  firstByte: 0xfee00000,
  lastByte: 0xfeefffff,
};

/** The domain that the options ask for; the kernel profile decides between a format and its legacy form. */
export function makeDomain(machine: Machine, o: DmaDeviceOptions): PagingDomain {
  const asked = o.ioPageTable ?? 'vtd';
  const legacy = machine.profile.dma.pageTable === 'legacy';
  const name = legacy && asked === 'vtd' ? 'vtd-legacy' : legacy && asked === 'amdv1' ? 'amd-legacy' : asked;
  return new PagingDomain(machine, {
    name: o.name,
    format: IO_PAGE_TABLES[name],
    ...(o.ioPageTableLevels === undefined ? {} : { levels: o.ioPageTableLevels }),
    cachingMode: o.cachingMode ?? false,
    ats: o.ats ?? false,
  });
}

/** Take the reserved regions out of an IOVA space that counts in granules. */
export function reserve(iova: IovaAllocator, granuleBytes: number, regions: readonly ReservedRegion[]): void {
  for (const { firstByte, lastByte } of regions) {
    iova.reserve(Math.floor(firstByte / granuleBytes), Math.floor(lastByte / granuleBytes));
  }
}
