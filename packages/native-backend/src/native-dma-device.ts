import { DmaDevice, type IovaAllocatorName } from '@gpusvm/dma-iova';
import type { Machine } from '@gpusvm/kernel';
import type { Ioas } from './ioas.ts';
import { IommufdDomain } from './iommufd-domain.ts';
import type { PinnedArena } from './pinned-arena.ts';

/** How a device for the DMA layer is made. */
export interface NativeDmaDeviceOptions {
  readonly name: string;
  /** Attached already; nothing else is mapped in it where the DMA layer allocates, except `reserved`. */
  readonly ioas: Ioas;
  readonly arena: PinnedArena;
  /** `lazy` delays the reuse of IOVAs only: iommufd invalidates with every unmap. Default `strict`. */
  readonly iommu?: 'strict' | 'lazy';
  /** Default `linux-rbtree`. */
  readonly iovaAllocator?: IovaAllocatorName;
  /** IOVA bytes that are mapped by others: a driver's rings. */
  readonly reserved?: readonly { readonly firstByte: number; readonly lastByte: number }[];
}

/**
 * A {@link DmaDevice} whose IOMMU is an IOAS and whose memory is an arena: the whole DMA API runs on it. What the
 * IOMMU reserves is taken out of its IOVA space.
 */
export function nativeDmaDevice(machine: Machine, o: NativeDmaDeviceOptions): DmaDevice {
  const domain = new IommufdDomain(machine, o);
  return new DmaDevice(machine, o.arena, {
    name: o.name,
    iommu: o.iommu ?? 'strict',
    domain,
    reservedRegions: [...gaps(o.ioas, domain.apertureLastPage), ...(o.reserved ?? [])],
    ...(o.iovaAllocator === undefined ? {} : { iovaAllocator: o.iovaAllocator }),
  });
}

/** What lies between the ranges that the IOAS allows, below the last page that is used. */
function gaps(ioas: Ioas, lastPage: number): { readonly firstByte: number; readonly lastByte: number }[] {
  const out: { firstByte: number; lastByte: number }[] = [];
  const limit = BigInt(lastPage + 1) * 4096n;
  let next = 0n;
  for (const { start, last } of ioas.ranges().ranges) {
    if (start > next && next < limit) out.push({ firstByte: Number(next), lastByte: Number(start - 1n) });
    next = last + 1n;
  }
  return out;
}
