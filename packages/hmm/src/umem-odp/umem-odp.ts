import { DMA_ATTR_MMIO, type DmaDevice } from '@gpusvm/dma-iova';
import { EBUSY, EFAULT, EINVAL, type Errno, Mutex, PAGE_SIZE, type Pfn, type Task } from '@gpusvm/kernel';
import { DMA_PFN_TRACE } from '../device-tracepoints.ts';
import { FOLIO_DIRTY } from '../folio-flags.ts';
import {
  HmmDmaMap,
  hmmDmaMapAlloc,
  type HmmP2p,
  hmmDmaMapFree,
  hmmDmaMapPfn,
  hmmDmaUnmapPfn,
} from '../hmm-dma-map.ts';
import {
  HMM_PFN_REQ_FAULT,
  HMM_PFN_REQ_WRITE,
  HMM_PFN_STICKY,
  HMM_PFN_VALID,
  HMM_PFN_WRITE,
  HmmPfns,
  hmmPfnToMapOrder,
} from '../hmm-pfns.ts';
import type { Mm } from '../mm.ts';
import {
  MmuIntervalNotifier,
  mmuIntervalNotifierInsert,
  mmuIntervalNotifierRemove,
  mmuIntervalReadBegin,
  mmuIntervalReadRetry,
  mmuIntervalSetSeq,
} from '../mmu-interval-notifier.ts';
import type { MmuNotifierRange } from '../mmu-notifier-range.ts';
import { hmmRangeFaultUnlockedTimeout } from '../range-fault-unlocked.ts';
import { type HmmRange, hmmRangeFault } from '../range-fault.ts';
import { unlinkRuns } from './unlink-runs.ts';

/** HMM_RANGE_DEFAULT_TIMEOUT */
const TIMEOUT_NS = 1_000_000_000;

/** How an invalidation undoes DMA mappings: entry by entry as the kernel does, or all runs with one flush. */
export type UmemUnmap = 'per-page' | 'single-shot';

/** A memory region for on-demand paging. */
export interface UmemOdpOptions {
  readonly mm: Mm;
  /** Null for a virtual device, which reaches memory by the CPU and has no DMA: it gets page frames only. */
  readonly dev: DmaDevice | null;
  readonly startPage: number;
  readonly pages: number;
  /** log2 of the bytes of an entry; default 12. Larger entries are for hugetlb. */
  readonly pageShift?: number;
  readonly unmap?: UmemUnmap;
  /** Whose memory a page is, if it is another device's. */
  readonly peerOf?: (pfn: Pfn) => HmmP2p | null;
}

/**
 * A memory region of an RDMA device that is paged on demand (struct ib_umem_odp, drivers/infiniband/core/umem_odp.c): a
 * second, small user of this package. The device's page table is `table`: DMA addresses by page, which the driver
 * fills under `mutex` and the invalidation empties.
 *
 * Like the kernel it maps page by page, with one sync and one flush for each. With `unmap: 'single-shot'` it keeps
 * the map but undoes whole runs with one flush, which is what the debate of January 2026 asked for.
 */
export class UmemOdp {
  readonly map: HmmDmaMap = new HmmDmaMap();
  /** umem_mutex: taken inside reclaim, so nothing that allocates may run under it. */
  readonly mutex: Mutex;
  readonly table: Map<number, number> = new Map();
  readonly sub: MmuIntervalNotifier = new MmuIntervalNotifier();
  readonly #o: UmemOdpOptions;
  readonly #shift: number;

  constructor(o: UmemOdpOptions) {
    this.#o = o;
    this.#shift = o.pageShift ?? 12;
    this.map.told = (phase, index, flags, iommu, attrs) => this.#tell(phase, index, flags, iommu, attrs);
    this.mutex = new Mutex(o.mm.machine, `umem_mutex of ${o.dev?.name ?? 'a virtual device'}`);
  }

  /** ib_umem_odp_get. Errors of `hmmDmaMapAlloc` and of the notifier. May sleep. */
  *open(): Task<Errno> {
    const { mm, startPage, pages } = this.#o;
    const err = this.allocMap();
    if (err !== 0) return err;
    const inserted = yield* mmuIntervalNotifierInsert(this.sub, mm, startPage, pages, {
      invalidate: (sub, range, seq) => this.#invalidate(sub, range, seq),
    });
    if (inserted !== 0) this.#freeMap();
    return inserted;
  }

  /** The map of the region; page frames alone for a virtual device. Errors of `hmmDmaMapAlloc`. */
  allocMap(): Errno {
    const { dev, pages } = this.#o;
    if (dev !== null) return hmmDmaMapAlloc(dev, this.map, pages, 2 ** this.#shift);
    this.map.pfns = new HmmPfns(pages);
    return 0;
  }

  /** ib_umem_odp_release: unmap everything, then the notifier, then the map. May sleep. */
  *close(): Task<void> {
    const { startPage, pages } = this.#o;
    yield* this.mutex.lock();
    this.table.clear();
    this.unmapDmaPages(startPage, startPage + pages);
    this.mutex.unlock();
    yield* mmuIntervalNotifierRemove(this.sub);
    this.#freeMap();
  }

  #freeMap(): void {
    if (this.#o.dev !== null) hmmDmaMapFree(this.#o.dev, this.map);
    else this.map.pfns = new HmmPfns(0);
  }

  /**
   * Fault pages in and write them to the device's table, as a page-fault handler does
   * (ib_umem_odp_map_dma_and_lock and the driver behind it). May sleep.
   *
   * @returns entries that were mapped; -EFAULT outside of the region and where no page can be had; -EINVAL when the
   * process is gone or the CPU maps less than an entry; -EBUSY when time is up; -EPERM; -ENOMEM.
   */
  *fault(startPage: number, pages: number, write: boolean): Task<number> {
    const { startPage: first, pages: all, mm } = this.#o;
    if (startPage < first || startPage + pages > first + all) return -EFAULT;
    if (!mm.mmgetNotZero()) return -EINVAL;
    // Whole entries, as the kernel aligns the address to the page shift of the region.
    const step = 2 ** (this.#shift - 12);
    const from = startPage - ((startPage - first) % step);
    const to = Math.min(from + Math.ceil((startPage + pages - from) / step) * step, first + all);
    const err = yield* this.#faultAndLock(from, to, write);
    mm.mmput();
    if (err !== 0) return err;
    const mapped = this.#mapEntries(from, to);
    this.mutex.unlock();
    return mapped;
  }

  /** On success the mutex is held and the sequence valid. */
  *#faultAndLock(startPage: number, endPage: number, write: boolean): Task<Errno> {
    const { mm } = this.#o;
    const { clock, profile } = mm.machine;
    const range: HmmRange = {
      notifier: this.sub,
      notifierSeq: 0,
      startPage,
      endPage,
      pfns: this.window(startPage, endPage),
      defaultFlags: HMM_PFN_REQ_FAULT | (write ? HMM_PFN_REQ_WRITE : 0),
      pfnFlagsMask: 0,
      devPrivateOwner: null,
    };
    const deadlineNs = clock.nowNs + TIMEOUT_NS;
    for (;;) {
      const err = yield* profile.hmm.unlockedFault
        ? hmmRangeFaultUnlockedTimeout(mm, range, TIMEOUT_NS)
        : this.#faultLocked(range, deadlineNs);
      if (err !== 0) return err;
      yield* this.mutex.lock();
      if (!mmuIntervalReadRetry(this.sub, range.notifierSeq)) break;
      this.mutex.unlock();
    }
    if (this.#ordersFit(range.pfns)) {
      this.fold(range);
      return 0;
    }
    this.mutex.unlock();
    return -EINVAL;
  }

  *#faultLocked(range: HmmRange, deadlineNs: number): Task<Errno> {
    const { mm } = this.#o;
    for (;;) {
      if (mm.machine.clock.nowNs > deadlineNs) return -EBUSY;
      range.notifierSeq = yield* mmuIntervalReadBegin(this.sub);
      yield* mm.mmapLock.downRead();
      const err = yield* hmmRangeFault(mm, range);
      mm.mmapLock.upRead();
      if (err !== -EBUSY) return err;
    }
  }

  /**
   * Where a fault writes: the map's own entries where an entry is a page, else entries of 4K that are folded later. (The
   * kernel always fills the map's entries, in units that differ from those it maps; bug ODP1.)
   */
  window(startPage: number, endPage: number): HmmPfns {
    if (this.#shift > 12) return new HmmPfns(endPage - startPage);
    const from = startPage - this.#o.startPage;
    const to = endPage - this.#o.startPage;
    return HmmPfns.over(this.map.pfns.pfn.subarray(from, to), this.map.pfns.flags.subarray(from, to));
  }

  #ordersFit({ flags }: HmmPfns): boolean {
    const needed = this.#shift - 12;
    return flags.every((f) => (f & HMM_PFN_VALID) === 0 || hmmPfnToMapOrder(f) >= needed);
  }

  /** Results of 4K pages become results of entries. The mutex is held. */
  fold(range: HmmRange): void {
    if (this.#shift === 12) return;
    const step = 2 ** (this.#shift - 12);
    const { pfn, flags } = this.map.pfns;
    const first = (range.startPage - this.#o.startPage) / step;
    for (let i = 0; i * step < range.endPage - range.startPage; i++) {
      pfn[first + i] = range.pfns.pfn[i * step]!;
      flags[first + i] = (flags[first + i]! & HMM_PFN_STICKY) | range.pfns.flags[i * step]!;
    }
  }

  /** The driver's part: map every new entry and write the device's table. */
  #mapEntries(startPage: number, endPage: number): number {
    const { flags } = this.map.pfns;
    const step = 2 ** (this.#shift - 12);
    let mapped = 0;
    for (let page = startPage; page < endPage; page += step) {
      const index = (page - this.#o.startPage) / step;
      if ((flags[index]! & HMM_PFN_VALID) === 0) continue;
      const addr = this.#mapEntry(index);
      if (addr < 0) break;
      for (let k = 0; k < step; k++) this.table.set(page + k, addr + k * PAGE_SIZE);
      mapped++;
    }
    return mapped;
  }

  /** DMA address of an entry; a virtual device takes the physical one. */
  #mapEntry(index: number): number {
    const { dev } = this.#o;
    return dev === null
      ? this.map.pfns.pfn[index]! * PAGE_SIZE
      : hmmDmaMapPfn(dev, this.map, index, this.#peerOf(index));
  }

  #peerOf(index: number): HmmP2p | null {
    return this.#o.peerOf?.(this.map.pfns.pfn[index]!) ?? null;
  }

  *#invalidate(sub: MmuIntervalNotifier, range: MmuNotifierRange, seq: number): Task<boolean> {
    if (range.blockable) yield* this.mutex.lock();
    else if (!this.mutex.tryLock()) return false;
    mmuIntervalSetSeq(sub, seq);
    const { startPage, pages } = this.#o;
    const from = Math.max(range.startPage, startPage);
    const to = Math.min(range.endPage, startPage + pages);
    // The device stops first, then its DMA mappings go.
    for (let page = from; page < to; page++) this.table.delete(page);
    this.unmapDmaPages(from, to);
    this.mutex.unlock();
    return true;
  }

  /** ib_umem_odp_unmap_dma_pages, or its single-shot counterpart. The mutex is held. */
  unmapDmaPages(fromPage: number, toPage: number): void {
    const step = 2 ** (this.#shift - 12);
    const from = Math.floor((fromPage - this.#o.startPage) / step);
    const to = Math.ceil((toPage - this.#o.startPage) / step);
    const { dev, mm, unmap } = this.#o;
    if (dev !== null && unmap === 'single-shot' && this.map.mode === 'iova') {
      unlinkRuns(mm.folios, dev, this.map, from, to, (index, flags) =>
        this.#tell('unmap', index, flags, true, this.map.attributes(dev, 0)),
      );
    }
    for (let index = from; index < to; index++) this.#unmapEntry(index);
  }

  #unmapEntry(index: number): void {
    const { flags, pfn } = this.map.pfns;
    const write = (flags[index]! & HMM_PFN_WRITE) !== 0;
    const { dev } = this.#o;
    const before = flags[index]!;
    const mapped = dev === null ? before !== 0 : hmmDmaUnmapPfn(dev, this.map, index);
    const { folios } = this.#o.mm;
    if (mapped && write) folios.flags[folios.head(pfn[index]!)]! |= FOLIO_DIRTY;
    flags[index] = 0;
  }

  /** Tell who checks what became of an entry. */
  #tell(phase: 'map' | 'unmap', index: number, flags: number, iommu: boolean, attrs: number): void {
    const { dev, mm, startPage } = this.#o;
    const point = mm.machine.trace.point(DMA_PFN_TRACE);
    if (dev === null || !point.enabled) return;
    const page = startPage + index * 2 ** (this.#shift - 12);
    const mmio = (attrs & DMA_ATTR_MMIO) !== 0;
    const pfn = this.map.pfns.pfn[index]!;
    point.emit({ phase, device: dev.name, sub: this.sub, page, pfn, flags, iommu, mmio });
  }

  /** What the device reads at a page, -1 where it would fault. */
  deviceRead(page: number): number {
    const addr = this.table.get(page);
    if (addr === undefined) return -1;
    const { dev, mm } = this.#o;
    return dev === null ? mm.folios.readTag(addr / PAGE_SIZE) : dev.readTag(addr);
  }

  /** Device store; false where it would fault. The IOMMU does not know whether the page may be written. */
  deviceWrite(page: number, tag: number): boolean {
    const addr = this.table.get(page);
    if (addr === undefined) return false;
    const { dev, mm } = this.#o;
    if (dev !== null) return dev.writeTag(addr, tag);
    mm.folios.writeTag(addr / PAGE_SIZE, tag);
    return true;
  }
}
