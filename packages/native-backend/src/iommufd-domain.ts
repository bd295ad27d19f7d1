import {
  IOMMU_MAP,
  IOMMU_READ,
  IOMMU_UNMAP,
  IOMMU_WRITE,
  type IommuDomain,
  type IommuDomainCapabilities,
  type IommuMapArgs,
  type IommuMapEvent,
  type IommuUnmapArgs,
  type IommuUnmapEvent,
  type IotlbGather,
  NO_PFN,
  type UnmapHolesResult,
} from '@gpusvm/dma-iova';
import {
  EINVAL,
  ENOMEM,
  ERANGE,
  type Errno,
  type FaultSite,
  type Machine,
  type Pfn,
  type Tracepoint,
} from '@gpusvm/kernel';
import { AreaList } from './area-list.ts';
import type { Ioas } from './ioas.ts';
import { KernelError } from './kernel-error.ts';
import type { PinnedArena } from './pinned-arena.ts';

const PAGE = 4096;
/** The DMA layer's address space; an IOMMU with a larger aperture is not used beyond. */
const LAST_PAGE_OF_48_BITS = 2 ** 36 - 1;

/** What an IOAS cannot do. */
export const IOMMUFD_CAPABILITIES: IommuDomainCapabilities = {
  // A mapping is unmapped as a whole.
  subAreaUnmap: false,
  // UNMAP returns after the invalidation.
  deferredFlush: false,
  // No call translates; the answer is this object's own record.
  physicalAddresses: false,
  tables: false,
};

/** How the domain is made. */
export interface IommufdDomainOptions {
  /** For traces and reports. */
  readonly name: string;
  /** Attached already, so that the aperture is known; nothing is mapped in it by others. */
  readonly ioas: Ioas;
  /** Page-frame numbers are its pages. */
  readonly arena: PinnedArena;
}

/**
 * The domain interface of the DMA layer over an IOAS, so that `dma_map_*`, `dma_iova_*` and the mapping strategies run
 * on a real IOMMU unchanged. One map call makes one area; an unmap takes every area that lies inside of its range,
 * steps over holes, and stops in front of an area that it would cut. See {@link IOMMUFD_CAPABILITIES}.
 */
export class IommufdDomain implements IommuDomain {
  readonly capabilities: IommuDomainCapabilities = IOMMUFD_CAPABILITIES;
  readonly format = 'iommufd';
  readonly leafOrders: readonly number[] = [0, 9];
  readonly unfittingErrno: Errno = -EINVAL;
  /** The kernel invalidates inside of each unmap: nothing is gathered here. */
  readonly gathersGaps = true;
  readonly levels = 4;
  readonly tables = 0;
  readonly apertureLastPage: number;
  readonly #machine: Machine;
  readonly #name: string;
  readonly #ioas: Ioas;
  readonly #arena: PinnedArena;
  readonly #areas = new AreaList();
  readonly #site: FaultSite;
  readonly #mapPoint: Tracepoint<IommuMapEvent, IommuMapArgs>;
  readonly #unmapPoint: Tracepoint<IommuUnmapEvent, IommuUnmapArgs>;

  constructor(machine: Machine, o: IommufdDomainOptions) {
    this.#machine = machine;
    this.#name = o.name;
    this.#ioas = o.ioas;
    this.#arena = o.arena;
    this.#site = machine.faultInjection.site('iommu.alloc_table');
    this.#mapPoint = machine.trace.point(IOMMU_MAP);
    this.#unmapPoint = machine.trace.point(IOMMU_UNMAP);
    const { last } = o.ioas.ranges().ranges.at(-1)!;
    const lastPage = Number((last + 1n) / 4096n) - 1;
    this.apertureLastPage = Math.min(lastPage, LAST_PAGE_OF_48_BITS);
  }

  get mappedPages(): number {
    return this.#areas.mappedPages;
  }

  /**
   * Map pages of the arena.
   *
   * @returns 0; -EINVAL (no permission, with a warning; no pages; a reserved range), -ERANGE outside of aperture or
   *   arena, -EEXIST, -ENOMEM at the memlock limit or when fault site `iommu.alloc_table` says so.
   */
  mapRange(iovaPage: number, pfn: Pfn, pages: number, prot: number): Errno {
    if ((prot & (IOMMU_READ | IOMMU_WRITE)) === 0) {
      this.#machine.warn(
        'iommu_map: no permission',
        `${this.#name}: map of iova page ${iovaPage} without R or W`,
      );
      return -EINVAL;
    }
    if (!(pages > 0)) return -EINVAL;
    if (iovaPage < 0 || iovaPage + pages - 1 > this.apertureLastPage) return -ERANGE;
    if (pfn < 0 || pfn + pages > this.#arena.totalPages) return -ERANGE;
    if (this.#site.shouldFail()) return -ENOMEM;
    const err = this.#ioas.tryMap({
      memory: this.#arena.memory,
      offsetBytes: this.#arena.offsetOf(pfn),
      lengthBytes: pages * PAGE,
      iova: iovaPage * PAGE,
      access: (prot & IOMMU_WRITE) === 0 ? 'r' : (prot & IOMMU_READ) === 0 ? 'w' : 'rw',
    });
    if (err !== 0) return err;
    this.#areas.add(iovaPage, pfn, pages, prot & (IOMMU_READ | IOMMU_WRITE));
    if (this.#mapPoint.enabled) this.#mapPoint.emit(this.#name, iovaPage, pfn, pages, prot);
    return 0;
  }

  /**
   * Unmap the areas inside of a range.
   *
   * @returns pages that were mapped and are not any more: less than asked at holes, and where an area that the range
   *   cuts ends the unmap. They are invalid for the device at once.
   */
  unmapRange(iovaPage: number, pages: number, gather: IotlbGather): number {
    const end = iovaPage + pages;
    const first = this.#areas.indexAfter(iovaPage);
    let last = first;
    if (first < this.#areas.count && this.#areas.iovaPage[first]! >= iovaPage)
      while (last < this.#areas.count && this.#areas.endOf(last) <= end) last++;
    const unmapped = this.#unmapAreas(first, last);
    if (unmapped > 0) gather.add(iovaPage, end);
    if (this.#unmapPoint.enabled) this.#unmapPoint.emit(this.#name, iovaPage, pages, unmapped, false);
    return unmapped;
  }

  unmapHoles(iovaPage: number, pages: number, gather: IotlbGather): UnmapHolesResult {
    const end = iovaPage + pages;
    const areas = this.#areas;
    let holes = 0;
    let firstHolePage = -1;
    let at = iovaPage;
    let first = areas.indexAfter(iovaPage);
    const overlaps = (i: number): boolean => i < areas.count && areas.iovaPage[i]! < end;
    for (let i = first; at < end; i++) {
      const next = overlaps(i) ? areas.iovaPage[i]! : end;
      if (next > at) {
        holes++;
        if (firstHolePage < 0) firstHolePage = at;
      }
      if (!overlaps(i)) break;
      at = areas.endOf(i);
    }
    let foreign = 0;
    if (overlaps(first) && areas.iovaPage[first]! < iovaPage) {
      first++;
      foreign++;
    }
    let last = first;
    while (overlaps(last) && areas.endOf(last) <= end) last++;
    if (overlaps(last)) foreign++;
    if (foreign > 0) {
      this.#machine.warn(
        'iommu_unmap_holes: leaf crosses the range',
        `${this.#name}: ${foreign} areas of [page ${iovaPage}, +${pages}) reach beyond it and stay`,
      );
    }
    const clearedPages = this.#unmapAreas(first, last);
    if (clearedPages > 0) gather.add(iovaPage, end);
    if (this.#unmapPoint.enabled) this.#unmapPoint.emit(this.#name, iovaPage, pages, clearedPages, true);
    return { clearedPages, holes, firstHolePage };
  }

  /** Mappings are visible when `mapRange` returns. */
  syncMap(): Errno {
    return 0;
  }

  /** The kernel has invalidated already; the gather is emptied. */
  sync(gather: IotlbGather): void {
    gather.endPage = 0;
  }

  /** Nothing is cached beyond its unmap. */
  flushAll(): void {
    // UNMAP has waited for the invalidation.
  }

  /** There are no tables to give back. */
  releaseTables(): void {
    // They belong to the kernel.
  }

  /** What was mapped there, from the record. */
  translate(iovaPage: number): Pfn {
    const i = this.#areas.indexOf(iovaPage);
    return i < 0 ? NO_PFN : this.#areas.pfn[i]! + iovaPage - this.#areas.iovaPage[i]!;
  }

  /** As the IOMMU answers a device: the record with its permissions. */
  deviceTranslate(iovaPage: number, access: number): Pfn {
    const i = this.#areas.indexOf(iovaPage);
    if (i < 0 || (this.#areas.prot[i]! & access) === 0) return NO_PFN;
    return this.#areas.pfn[i]! + iovaPage - this.#areas.iovaPage[i]!;
  }

  /** Visit areas. */
  forEachLeaf(
    fn: (iovaPage: number, pfn: Pfn, pages: number) => void,
    first = 0,
    end: number = this.apertureLastPage + 1,
  ): void {
    const { iovaPage, pfn, pages } = this.#areas;
    for (let i = this.#areas.indexAfter(first); i < iovaPage.length && iovaPage[i]! < end; i++) {
      fn(iovaPage[i]!, pfn[i]!, pages[i]!);
    }
  }

  /** One call for neighbouring areas. */
  #unmapAreas(first: number, last: number): number {
    if (first === last) return 0;
    const start = this.#areas.iovaPage[first]!;
    const lengthBytes = (this.#areas.endOf(last - 1) - start) * PAGE;
    const pages = this.#areas.remove(first, last);
    const unmapped = this.#ioas.tryUnmap(start * PAGE, lengthBytes);
    // The record says that whole areas lie there: anything else means that somebody else maps in this IOAS.
    if (unmapped !== pages * PAGE) {
      const args = { iova: start * PAGE, lengthBytes, expected: pages * PAGE, unmapped };
      throw new KernelError('IOMMU_IOAS_UNMAP', unmapped < 0 ? unmapped : -EINVAL, args);
    }
    return pages;
  }
}
