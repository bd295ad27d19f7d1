import {
  EEXIST,
  EINVAL,
  ENOMEM,
  ENXIO,
  ERANGE,
  type Errno,
  type FaultSite,
  type Machine,
  type Pfn,
  type Tracepoint,
} from '@gpusvm/kernel';
import { IOMMU_MMIO } from './attributes.ts';
import { C_TBL_FREE, dmaCounters } from './dma-counters.ts';
import { InvalidationQueue } from './invalidation-queue.ts';
import type { IoPageTableFormat } from './io-page-table/format.ts';
import { type HoleReport, radixUnmapHoles } from './io-page-table/radix-holes.ts';
import { type MapProgress, radixMap } from './io-page-table/radix-map.ts';
import { RadixTable } from './io-page-table/radix-table.ts';
import { forEachLeaf } from './io-page-table/radix-visit.ts';
import { radixUnmap, type UnmapProgress } from './io-page-table/radix-unmap.ts';
import { E_MMIO, E_RW } from './io-page-table/table-pool.ts';
import type { IommuDomain, UnmapHolesResult } from './iommu-domain.ts';
import { IotlbGather } from './iotlb-gather.ts';
import { Iotlb } from './iotlb.ts';
import type { PagingDomainOptions } from './paging-domain-options.ts';
import {
  IOMMU_MAP,
  IOMMU_TABLE_FREE,
  IOMMU_TABLE_UNLINK,
  IOMMU_UNMAP,
  type IommuMapArgs,
  type IommuMapEvent,
  type IommuTableArgs,
  type IommuTableEvent,
  type IommuUnmapArgs,
  type IommuUnmapEvent,
} from './tracepoints.ts';

// V8 folds a module's own constants, not imported ones.
const RW = E_RW;
const MMIO = IOMMU_MMIO;
const MMIO_SHIFT = Math.log2(IOMMU_MMIO / E_MMIO);

/**
 * The simulated IOMMU domain: a radix page table of one format, its IOTLB, and the rules of drivers/iommu/iommu.c
 * around them. Fault sites `iommu.alloc_table` and, in caching mode, `iommu.sync_map`.
 */
export class PagingDomain implements IommuDomain {
  readonly name: string;
  readonly leafOrders: readonly number[];
  readonly unfittingErrno: Errno;
  readonly gathersGaps: boolean;
  readonly apertureLastPage: number;
  readonly cachingMode: boolean;
  /** @internal the page table, for tests and reports. */
  readonly table: RadixTable;
  readonly #machine: Machine;
  readonly #format: IoPageTableFormat;
  readonly #iotlb: Iotlb;
  readonly #counters: Float64Array;
  readonly #endCounting: () => void;
  readonly #invalidations: InvalidationQueue;
  readonly #syncSite: FaultSite;
  /** Limits of the format. */
  readonly #lastIova: number = 0;
  readonly #endPfn: number = 0;
  /** Gather of undo and of replaced tables; an unmap's own gather comes from its caller. */
  readonly #own: IotlbGather = new IotlbGather();
  readonly #mapped: MapProgress = { page: 0, err: 0, replacedStart: 0, replacedEnd: 0 };
  readonly #unmapped: UnmapProgress = { stopped: false, stopPage: 0, cleared: 0 };
  readonly #holes: HoleReport = {
    clearedPages: 0,
    holes: 0,
    firstHolePage: -1,
    foreignLeaves: 0,
    holeEnd: -1,
  };
  readonly #mapPoint: Tracepoint<IommuMapEvent, IommuMapArgs>;
  readonly #unmapPoint: Tracepoint<IommuUnmapEvent, IommuUnmapArgs>;
  readonly #tableFreePoint: Tracepoint<IommuTableEvent, IommuTableArgs>;

  constructor(machine: Machine, o: PagingDomainOptions) {
    const levels = o.levels ?? o.format.levels.usual;
    this.name = o.name;
    this.unfittingErrno = o.format.unaligned === 'enxio' ? -ENXIO : -EINVAL;
    this.leafOrders = o.format.leafOrders;
    this.cachingMode = o.cachingMode ?? false;
    this.gathersGaps = !(o.format.noGapsWhenCaching && this.cachingMode);
    this.#syncSite = machine.faultInjection.site('iommu.sync_map');
    this.#machine = machine;
    this.#format = o.format;
    const counters = dmaCounters(machine);
    this.#counters = counters.values;
    this.table = new RadixTable(
      o.format,
      levels,
      machine.faultInjection.site('iommu.alloc_table'),
      this.#counters,
      { domain: o.name, unlink: machine.trace.point(IOMMU_TABLE_UNLINK) },
    );
    this.#endCounting = counters.addSource(() => this.table.settleStreak());
    this.#iotlb = new Iotlb(this.table, this.cachingMode);
    this.#invalidations = new InvalidationQueue(
      machine,
      o.name,
      this.#iotlb,
      o.format.maxInvalidationOrder,
      o.ats === true,
    );
    this.#lastIova = this.table.maxPages - 1;
    this.#endPfn = 2 ** (o.format.outputBits - 12);
    this.apertureLastPage = o.apertureLastPage ?? this.#lastIova;
    this.#mapPoint = machine.trace.point(IOMMU_MAP);
    this.#unmapPoint = machine.trace.point(IOMMU_UNMAP);
    this.#tableFreePoint = machine.trace.point(IOMMU_TABLE_FREE);
  }

  get format(): string {
    return this.#format.name;
  }

  get levels(): number {
    return this.table.levels;
  }

  get mappedPages(): number {
    return this.table.mappedPages;
  }

  get tables(): number {
    return this.table.pool.used - 1;
  }

  /** Bytes that the page table occupies in this process. */
  get tableBytes(): number {
    return this.table.pool.bytes;
  }

  // Both begin with what single pages do almost always: table at hand, nobody watching. One call is left beside it,
  // with the arguments as they came, so that V8 keeps numbers unboxed when it inlines this into a caller's loop.
  mapRange(iovaPage: number, pfn: Pfn, pages: number, prot: number): Errno {
    if (
      pages === 1 &&
      (prot & RW) !== 0 &&
      this.#mapPoint.enabled === false &&
      this.table.mapOne(iovaPage, pfn, entryFlags(prot))
    ) {
      return 0;
    }
    return this.#mapSlow(iovaPage, pfn, pages, prot);
  }

  unmapRange(iovaPage: number, pages: number, gather: IotlbGather): number {
    if (pages === 1 && this.#unmapPoint.enabled === false && this.table.unmapOne(iovaPage)) {
      gather.add(iovaPage, iovaPage + 1);
      return 1;
    }
    return this.#unmapSlow(iovaPage, pages, gather);
  }

  #unmapSlow(iovaPage: number, pages: number, gather: IotlbGather): number {
    if (pages <= 0 || iovaPage + pages - 1 > this.#lastIova) return 0;
    if (((iovaPage | pages) & (this.table.spans[0]! - 1)) !== 0) return 0;
    const table = this.table;
    let unmapped = 1;
    if (pages === 1 && table.beginStreak(iovaPage) && table.unmapOne(iovaPage)) {
      gather.add(iovaPage, iovaPage + 1);
    } else {
      unmapped = this.#unmapWalk(iovaPage, pages, gather);
    }
    if (this.#unmapPoint.enabled) this.#unmapPoint.emit(this.name, iovaPage, pages, unmapped, false);
    return unmapped;
  }

  #unmapWalk(iovaPage: number, pages: number, gather: IotlbGather): number {
    const out = this.#unmapped;
    const reached = radixUnmap(this.table, iovaPage, pages, gather, out);
    const { unmap } = this.#format;
    const requested = unmap.returns === 'requested';
    if (out.cleared > 0 || requested) {
      // The legacy driver adds what was asked for, whatever it found.
      gather.add(iovaPage, requested ? iovaPage + pages : reached);
    }
    if (out.stopped && unmap.warns) {
      this.#machine.warn(
        'arm_lpae_unmap: hole or block',
        `${this.name}: nothing to unmap at iova ${hex(out.stopPage)} (or a larger block is there)`,
      );
    }
    this.table.notePinned();
    return requested ? pages : reached - iovaPage;
  }

  unmapHoles(iovaPage: number, pages: number, gather: IotlbGather): UnmapHolesResult {
    const out = this.#holes;
    radixUnmapHoles(this.table, iovaPage, pages, gather, out);
    if (out.clearedPages > 0) gather.add(iovaPage, iovaPage + pages);
    if (out.foreignLeaves > 0) {
      this.#machine.warn(
        'iommu_unmap_holes: leaf crosses the range',
        `${this.name}: ${out.foreignLeaves} leaf of [${hex(iovaPage)}, +${pages} pages) reaches beyond it and stays`,
      );
    }
    this.table.notePinned();
    if (this.#unmapPoint.enabled) this.#unmapPoint.emit(this.name, iovaPage, pages, out.clearedPages, true);
    return out;
  }

  syncMap(iovaPage: number, pages: number): Errno {
    if (!this.cachingMode) return 0;
    if (this.#syncSite.shouldFail()) return -ENOMEM;
    if (pages > 0) this.#invalidations.range(iovaPage, iovaPage + pages, true);
    return 0;
  }

  sync(gather: IotlbGather): void {
    if (gather.endPage !== 0) {
      this.#invalidations.range(gather.startPage, gather.endPage, gather.freeHead === 0);
      gather.endPage = 0;
    }
    if (gather.freeHead !== 0) {
      this.releaseTables(gather.freeHead);
      gather.freeHead = 0;
      gather.freeTail = 0;
    }
  }

  flushAll(): void {
    this.#invalidations.all();
  }

  releaseTables(chain: number): void {
    if (this.#tableFreePoint.enabled) {
      const { next } = this.table.pool;
      for (let id = chain; id !== 0; id = next[id]!) this.#tableFreePoint.emit(this.name, id, 0, 0);
    }
    this.#counters[C_TBL_FREE]! += this.table.pool.releaseChain(chain);
  }

  translate(iovaPage: number): Pfn {
    return iovaPage > this.#lastIova ? -1 : this.table.translate(iovaPage);
  }

  deviceTranslate(iovaPage: number, access: number): Pfn {
    if (iovaPage > this.#lastIova || iovaPage < 0) return -1;
    return this.#iotlb.translate(iovaPage, access);
  }

  /** Whether the IOTLB holds a translation of this page, stale or not. */
  isCached(iovaPage: number): boolean {
    return this.#iotlb.isCached(iovaPage);
  }

  forEachLeaf(
    fn: (iovaPage: number, pfn: Pfn, pages: number) => void,
    first = 0,
    end: number = this.#lastIova + 1,
  ): void {
    forEachLeaf(this.table, fn, first, end);
  }

  /** Drop every mapping and table with the device: nothing is invalidated any more. */
  destroy(): void {
    const own = this.#own;
    own.reset(true);
    radixUnmapHoles(this.table, 0, this.#lastIova + 1, own, this.#holes);
    this.#iotlb.invalidateAll();
    this.releaseTables(own.freeHead);
    own.reset(false);
    this.#endCounting();
  }

  #mapSlow(iovaPage: number, pfn: Pfn, pages: number, prot: number): Errno {
    if (pages === 1 && (prot & RW) !== 0 && this.table.mapOne(iovaPage, pfn, entryFlags(prot))) {
      if (this.#mapPoint.enabled === true) this.#mapPoint.emit(this.name, iovaPage, pfn, 1, prot);
      return 0;
    }
    if ((prot & RW) === 0) {
      this.#machine.warn(
        'iommu_map: no permission',
        `${this.name}: map of iova ${hex(iovaPage)} without R or W`,
      );
      return -EINVAL;
    }
    if (!(pages > 0)) return -EINVAL;
    if (iovaPage + pages - 1 > this.#lastIova || pfn >= this.#endPfn || iovaPage < 0) return -ERANGE;
    const table = this.table;
    if (((iovaPage | pfn | pages) & (table.spans[0]! - 1)) !== 0) return this.unfittingErrno;
    if (pfn + pages > this.#endPfn) return this.#mapAcrossEnd(iovaPage, pfn, pages, prot);
    const flags = entryFlags(prot);
    if (pages !== 1 || !table.beginStreak(iovaPage) || !table.mapOne(iovaPage, pfn, flags)) {
      const err = this.#mapWalk(iovaPage, pfn, pages, flags);
      if (err !== 0) return err;
    }
    if (this.#mapPoint.enabled) this.#mapPoint.emit(this.name, iovaPage, pfn, pages, prot);
    return 0;
  }

  /** Only the first address is checked; what lies beyond the last one loses the bits that no entry has, and begins at 0. */
  #mapAcrossEnd(iovaPage: number, pfn: Pfn, pages: number, prot: number): Errno {
    const below = this.#endPfn - pfn;
    const err = this.#mapSlow(iovaPage, pfn, below, prot);
    if (err !== 0) return err;
    const beyond = this.#mapSlow(iovaPage + below, 0, pages - below, prot);
    return beyond === 0 ? 0 : this.#undo(iovaPage, iovaPage + below, beyond);
  }

  #mapWalk(iovaPage: number, pfn: Pfn, pages: number, flags: number): Errno {
    const own = this.#own;
    const out = this.#mapped;
    own.reset(false);
    radixMap(this.table, iovaPage, pfn, pages, flags, own, out);
    if (out.replacedEnd !== 0) {
      own.add(out.replacedStart, out.replacedEnd);
      this.sync(own);
    }
    return out.err === 0 ? 0 : this.#undo(iovaPage, out.page, out.err);
  }

  /** Unmap exactly what a failed map has mapped; earlier mappings stay (iommu_map_nosync). */
  #undo(iovaPage: number, reached: number, err: Errno): Errno {
    if (err === -EEXIST && this.#format.occupied === 'eexist-warn') {
      this.#machine.warn(
        'arm_lpae_init_pte: already mapped',
        `${this.name}: iova ${hex(reached)} is mapped already`,
      );
    }
    if (reached > iovaPage) {
      const own = this.#own;
      own.reset(false);
      const end = radixUnmap(this.table, iovaPage, reached - iovaPage, own, this.#unmapped);
      own.add(iovaPage, end);
      this.sync(own);
    }
    this.table.notePinned();
    return err;
  }
}

/** Entry bits for IOMMU_* bits. */
function entryFlags(prot: number): number {
  return (prot & RW) | ((prot & MMIO) >>> MMIO_SHIFT);
}

function hex(page: number): string {
  return `0x${(page * 4096).toString(16)}`;
}
