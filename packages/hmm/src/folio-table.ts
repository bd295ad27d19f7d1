import type { PhysicalMemory } from '@gpusvm/dma-iova';
import {
  type CounterGroup,
  type FaultSite,
  HPAGE_PMD_NR,
  alignUp,
  done,
  type Machine,
  type Pfn,
  type Task,
  type Tracepoint,
} from '@gpusvm/kernel';
import { type HmmCounterName, hmmCounters } from './counters.ts';
import type { DevPagemap } from './dev-pagemap.ts';
import { FolioArrays } from './folio-arrays.ts';
import {
  FOLIO_ANON,
  FOLIO_CACHED,
  FOLIO_DEVICE,
  FOLIO_HEAD,
  FOLIO_HWPOISON,
  FOLIO_ISOLATED,
  FOLIO_LOCKED,
  FOLIO_SWAPCACHE,
} from './folio-flags.ts';
import { liveFolios } from './folio-ledger.ts';
import type { Mm } from './mm.ts';
import { MmRegistry } from './mm-registry.ts';
import { PageCache } from './page-cache.ts';
import { PageGather } from './page-gather.ts';
import { Rmap } from './rmap.ts';
import { Swap } from './swap.ts';
import { TablePool } from './table-pool.ts';
import {
  FOLIO_SPLIT,
  type FolioSplitEvent,
  type InvalidateEvent,
  MIGRATE,
  type MigrateEvent,
  MMU_INVALIDATE,
} from './tracepoints.ts';
import { ZeroPages } from './zero-pages.ts';

const NO_PFN = -1;
const NOT_WHEN_FREED = FOLIO_LOCKED | FOLIO_CACHED | FOLIO_SWAPCACHE | FOLIO_ISOLATED;

/** References of a folio by holder. */
export interface FolioReferences {
  /** Page-table entries. */
  readonly entries: number;
  /** GUP pins. */
  readonly pins: number;
  readonly pageCache: number;
  readonly swapCache: number;
  /** Taken off the LRU. */
  readonly isolation: number;
  /** Everything else: a migration, a fault, a driver. */
  readonly other: number;
}

/**
 * struct page and struct folio of the whole machine (mm_types.h), and what belongs to pages as such: the reverse
 * mapping, page caches, swap, providers of device memory. RAM comes first, windows of device memory follow.
 */
export class FolioTable extends FolioArrays {
  readonly memory: PhysicalMemory;
  readonly counters: CounterGroup<HmmCounterName>;
  /** Address spaces by id, for the reverse mapping. */
  readonly mms: MmRegistry = new MmRegistry();
  readonly rmap: Rmap;
  readonly pageCache: PageCache;
  readonly zeroPages: ZeroPages;
  /** Swap space; has no room until `swap.on(pages)`. */
  readonly swap: Swap;
  /** @internal page tables to be used again. */
  readonly tables: TablePool = new TablePool();
  /** @internal */
  readonly gather: PageGather;
  /** Pages below are RAM. */
  readonly ramPages: number;
  readonly splitTrace: Tracepoint<FolioSplitEvent>;
  /** @internal */
  readonly migrateTrace: Tracepoint<MigrateEvent>;
  /** @internal */
  readonly invalidateTrace: Tracepoint<InvalidateEvent>;
  /** @internal */
  readonly splitSite: FaultSite;
  /** @internal */
  readonly isolateSite: FaultSite;
  /** @internal */
  readonly pteTableSite: FaultSite;
  /** @internal */
  readonly migratePteSite: FaultSite;
  /** @internal */
  readonly notifierAllocSite: FaultSite;
  /** @internal a fatal signal is pending where the kernel asks for one. */
  readonly signalSite: FaultSite;
  readonly pagemaps: DevPagemap[] = [];
  /**
   * Empty the LRU batches of every CPU and wait for it (lru_add_drain_all, mm/swap.c); may sleep. The model has no batches,
   * so there is nothing to wait for; whoever wants CPUs that are slow to answer replaces it.
   */
  lruAddDrainAll: () => Task<void> = () => done(undefined);
  /** @internal where reclaim goes on. */
  reclaimCursor = 0;
  /** Pages lost to memory errors. */
  retiredPages = 0;
  /** @internal */
  readonly allocSite: FaultSite;

  constructor(machine: Machine, memory: PhysicalMemory) {
    super(machine, memory.totalPages);
    this.memory = memory;
    this.counters = hmmCounters(machine);
    this.splitTrace = machine.trace.point(FOLIO_SPLIT);
    this.migrateTrace = machine.trace.point(MIGRATE);
    this.invalidateTrace = machine.trace.point(MMU_INVALIDATE);
    this.ramPages = memory.totalPages;
    this.rmap = new Rmap(this.mms, memory.totalPages);
    this.pageCache = new PageCache(this);
    this.zeroPages = new ZeroPages(memory);
    this.swap = new Swap(this);
    this.gather = new PageGather(memory);
    this.allocSite = machine.faultInjection.site('hmm.alloc_folio');
    this.splitSite = machine.faultInjection.site('hmm.split_folio');
    this.isolateSite = machine.faultInjection.site('hmm.isolate_lru');
    this.pteTableSite = machine.faultInjection.site('hmm.pte_table');
    this.migratePteSite = machine.faultInjection.site('hmm.migrate_pte_alloc');
    this.notifierAllocSite = machine.faultInjection.site('hmm.notifier_alloc');
    this.signalSite = machine.faultInjection.site('hmm.fatal_signal');
    machine.ledger.register(() => [...liveFolios(this), ...this.mms.live(), this.swap.live()]);
  }

  /** Whether the page is device memory that the CPU cannot reach (is_device_private_page). */
  isDevicePrivate(pfn: Pfn): boolean {
    return pfn >= this.ramPages && this.pagemapOf(pfn)?.type === 'private';
  }

  /** Whether the page is device memory that the CPU maps like RAM (is_device_coherent_page). */
  isDeviceCoherent(pfn: Pfn): boolean {
    return pfn >= this.ramPages && this.pagemapOf(pfn)?.type === 'coherent';
  }

  /**
   * Content tag of a page that the CPU can reach: RAM or device-coherent memory.
   *
   * @throws RangeError for device-private memory, whose contents only its driver knows.
   */
  readTag(pfn: Pfn): number {
    return pfn < this.ramPages ? this.memory.readTag(pfn) : this.#coherent(pfn).readTag(pfn);
  }

  /** Replace the content of a page that the CPU can reach. See {@link readTag}. */
  writeTag(pfn: Pfn, tag: number): void {
    if (pfn < this.ramPages) this.memory.writeTag(pfn, tag);
    else this.#coherent(pfn).writeTag(pfn, tag);
  }

  #coherent(pfn: Pfn): DevPagemap {
    const pagemap = this.pagemapOf(pfn);
    if (pagemap === null || pagemap.type !== 'coherent') {
      throw new RangeError(`pfn ${pfn} is not memory that the CPU can reach`);
    }
    return pagemap;
  }

  /** Whether the folio that contains `pfn` is anonymous memory (folio_test_anon). */
  isAnon(pfn: Pfn): boolean {
    return (this.flags[this.head(pfn)]! & FOLIO_ANON) !== 0;
  }

  /** Provider of the device page, null for RAM (page_pgmap). Cost: number of providers. */
  pagemapOf(pfn: Pfn): DevPagemap | null {
    if (pfn < this.ramPages) return null;
    for (let i = 0; i < this.pagemaps.length; i++) {
      const pagemap = this.pagemaps[i]!;
      if (pagemap.contains(pfn)) return pagemap;
    }
    return null;
  }

  /** What the driver attached to the device folio (folio->page.zone_device_data); null when nothing. */
  zoneDeviceData(head: Pfn): object | null {
    return this.pagemapOf(head)?.dataAt(head) ?? null;
  }

  /** Attach an object of the driver to a device folio; used from `folioSplit` for new tails. */
  setZoneDeviceData(head: Pfn, data: object | null): void {
    const pagemap = this.pagemapOf(head);
    if (pagemap === null) throw new RangeError(`pfn ${head} is not device memory`);
    pagemap.setDataAt(head, data);
  }

  /**
   * Allocate a RAM folio (folio_alloc): reference count 1, unlocked, contents undefined. Asks the fault site
   * `hmm.alloc_folio`. Does not sleep.
   *
   * @returns the head, or -1 when there is no memory.
   */
  allocFolio(order: number): Pfn {
    if (this.allocSite.shouldFail()) return NO_PFN;
    const pfn = this.memory.allocPages(order);
    if (pfn !== NO_PFN) this.prep(pfn, order, FOLIO_HEAD, 1);
    return pfn;
  }

  /** Take a RAM folio off the LRU with a reference (folio_isolate_lru); false for a device folio or if it is off. */
  isolateLru(head: Pfn): boolean {
    const flags = this.flags[head]!;
    if ((flags & (FOLIO_DEVICE | FOLIO_ISOLATED)) !== 0 || this.isolateSite.shouldFail()) return false;
    this.get(head);
    this.flags[head] = flags | FOLIO_ISOLATED;
    return true;
  }

  /** Put an isolated folio back and drop the reference (folio_putback_lru). */
  putbackLru(head: Pfn): void {
    if ((this.flags[head]! & FOLIO_ISOLATED) === 0) throw new Error(`pfn ${head} put back but not isolated`);
    this.flags[head]! &= ~FOLIO_ISOLATED;
    this.put(head);
  }

  /**
   * Who holds references of a folio, by name. What is left under `other` is held by a driver, a migration or a fault;
   * a leak shows there. Cost: O(1).
   */
  references(head: Pfn): FolioReferences {
    const flags = this.flags[head]!;
    const entries = this.maps[head]!;
    const pins = this.pinCount(head);
    const pageCache = (flags & FOLIO_CACHED) === 0 ? 0 : 1;
    const swapCache = (flags & FOLIO_SWAPCACHE) === 0 ? 0 : 2 ** this.orders[head]!;
    const isolation = (flags & FOLIO_ISOLATED) === 0 ? 0 : 1;
    const other = this.refs[head]! - entries - pins - pageCache - swapCache - isolation;
    return { entries, pins, pageCache, swapCache, isolation, other };
  }

  /** @internal an address space begins. */
  rememberMm(mm: Mm, parent: Mm | null): number {
    return this.mms.add(mm, parent, () => this.rmap.usedIds());
  }

  /** @internal an address space is gone; with the last one the zero pages go too. */
  forgetMm(mm: Mm): void {
    this.mms.remove(mm.id);
    if (this.mms.size === 0) this.zeroPages.release();
  }

  /** @internal append a window of device memory; grows every array once. */
  appendWindow(pagemap: DevPagemap, pages: number): Pfn {
    const base = alignUp(this.totalPages, HPAGE_PMD_NR);
    this.grow(base + pages);
    this.rmap.grow(base + pages);
    this.pagemaps.push(pagemap);
    return base;
  }

  /** @internal free a folio whose reference count has become 0 (__folio_put). */
  free(head: Pfn): void {
    const flags = this.flags[head]!;
    const order = this.orders[head]!;
    if (this.maps[head] !== 0 || (flags & NOT_WHEN_FREED) !== 0) this.#badFree(head);
    this.flags[head] = 0;
    this.rmap.clear(head);
    if ((flags & FOLIO_DEVICE) !== 0) this.pagemapOf(head)!.freeFolio(head, order);
    else if ((flags & FOLIO_HWPOISON) !== 0) this.#retire(head, order);
    else if (order === 0) this.gather.free(head);
    else this.memory.freePagesBlock(head, order);
  }

  /** free_pages_prepare refuses a page with hwpoison: it stays out of use until the machine ends. */
  #retire(head: Pfn, order: number): void {
    this.refs[head] = 0;
    if (order !== 0) this.orders.fill(0, head, head + 2 ** order);
    this.retiredPages += 2 ** order;
  }

  #badFree(head: Pfn): never {
    const maps = this.maps[head]!;
    const why = maps !== 0 ? `mapped ${maps} times` : this.isLocked(head) ? 'locked' : 'cached or isolated';
    throw new Error(`pfn ${head} freed while ${why}`);
  }
}
