import type { Machine } from '@gpusvm/kernel';
import type { FlushQueueKind } from './flush-queue.ts';
import type { IoPageTableName } from './io-page-table/format.ts';
import { IO_PAGE_TABLES } from './io-page-table/formats.ts';
import type { IommuDomain } from './iommu-domain.ts';
import type { IovaAllocator, IovaAllocatorName } from './iova/iova-allocator.ts';
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
  /** Most pages of the bounce pool; default 16384 (64 MiB, IO_TLB_DEFAULT_SIZE). */
  readonly swiotlbPages?: number;
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

/** Take the reserved regions out of an IOVA space. */
export function reserve(iova: IovaAllocator, regions: readonly ReservedRegion[]): void {
  for (const { firstByte, lastByte } of regions) {
    iova.reserve(Math.floor(firstByte / 4096), Math.floor(lastByte / 4096));
  }
}
