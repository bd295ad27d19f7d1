import type { PhysicalMemory } from '@gpusvm/dma-iova';
import {
  type CounterGroup,
  type FaultSite,
  HPAGE_PMD_NR,
  alignUp,
  type Machine,
  type Pfn,
  type Task,
  type Tracepoint,
  WaitQueue,
} from '@gpusvm/kernel';
import { type HmmCounterName, hmmCounters } from './counters.ts';
import type { DevPagemap } from './dev-pagemap.ts';
import {
  FOLIO_ANON,
  FOLIO_CACHED,
  FOLIO_DEVICE,
  FOLIO_HEAD,
  FOLIO_LOCKED,
  FOLIO_PINNED,
  FOLIO_WAITERS,
} from './folio-flags.ts';
import { liveFolios } from './folio-ledger.ts';
import { grown32, grown8 } from './grown-array.ts';
import type { Mm } from './mm.ts';
import { MmRegistry } from './mm-registry.ts';
import { PageCache } from './page-cache.ts';
import { PageGather } from './page-gather.ts';
import { traceFolioLock } from './protocol-tracepoints.ts';
import { Rmap } from './rmap.ts';
import { FOLIO_SPLIT, type FolioSplitEvent } from './tracepoints.ts';
import { ZeroPages } from './zero-pages.ts';

const NO_PFN = -1;

/**
 * struct page and struct folio of the whole machine (mm_types.h), as a structure of arrays over pfn: RAM first,
 * windows of device memory appended behind. 20 bytes a page.
 *
 * A folio is a naturally aligned block of 2^order pages, so the head of a page follows from its order. Flags,
 * reference count, map count and the reverse mapping live at the head. The map count is the number of page-table
 * entries of any size that map the folio or a part of it (folio_mapcount), and every one of them owns one
 * reference; a free page has reference count 0.
 */
export class FolioTable {
  readonly machine: Machine;
  readonly memory: PhysicalMemory;
  readonly counters: CounterGroup<HmmCounterName>;
  /** Address spaces by id, for the reverse mapping. */
  readonly mms: MmRegistry = new MmRegistry();
  readonly rmap: Rmap;
  readonly pageCache: PageCache;
  readonly zeroPages: ZeroPages;
  /** @internal */
  readonly gather: PageGather;
  /** Pages below are RAM. */
  readonly ramPages: number;
  readonly splitTrace: Tracepoint<FolioSplitEvent>;
  /** @internal hot arrays; replaced when a device window is appended, so never keep them across a sleep. */
  refs: Int32Array;
  /** @internal */
  maps: Int32Array;
  /** @internal order of the folio, at every page of it. */
  orders: Uint8Array;
  /** @internal bits of folio-flags.ts, at the head. */
  flags: Uint8Array;
  /** @internal */
  readonly splitSite: FaultSite;
  /** @internal */
  readonly isolateSite: FaultSite;
  /** @internal */
  readonly pteTableSite: FaultSite;
  /** @internal */
  readonly migratePteSite: FaultSite;
  readonly pagemaps: DevPagemap[] = [];
  /** @internal */
  readonly allocSite: FaultSite;
  readonly #pins = new Map<Pfn, number>();
  readonly #lockQueues = new Map<Pfn, WaitQueue>();
  #pages: number;

  constructor(machine: Machine, memory: PhysicalMemory) {
    this.machine = machine;
    this.memory = memory;
    this.counters = hmmCounters(machine);
    this.splitTrace = machine.trace.point(FOLIO_SPLIT);
    this.ramPages = memory.totalPages;
    this.#pages = memory.totalPages;
    this.refs = new Int32Array(this.#pages);
    this.maps = new Int32Array(this.#pages);
    this.orders = new Uint8Array(this.#pages);
    this.flags = new Uint8Array(this.#pages);
    this.rmap = new Rmap(this.mms, this.#pages);
    this.pageCache = new PageCache(this);
    this.zeroPages = new ZeroPages(memory);
    this.gather = new PageGather(memory);
    this.allocSite = machine.faultInjection.site('hmm.alloc_folio');
    this.splitSite = machine.faultInjection.site('hmm.split_folio');
    this.isolateSite = machine.faultInjection.site('hmm.isolate_lru');
    this.pteTableSite = machine.faultInjection.site('hmm.pte_table');
    this.migratePteSite = machine.faultInjection.site('hmm.migrate_pte_alloc');
    machine.ledger.register(() => [...liveFolios(this), ...this.mms.live()]);
  }

  /** One behind the last pfn of the last window. */
  get totalPages(): number {
    return this.#pages;
  }

  /** log2 of the size in pages of the folio that contains `pfn` (folio_order). */
  order(pfn: Pfn): number {
    return this.orders[pfn]!;
  }

  /** Head page of the folio that contains `pfn` (page_folio). */
  head(pfn: Pfn): Pfn {
    const order = this.orders[pfn]!;
    return order === 0 ? pfn : pfn - (pfn & ((1 << order) - 1));
  }

  /** Reference count (folio_ref_count). */
  refcount(head: Pfn): number {
    return this.refs[head]!;
  }

  /** Page-table entries that map any part of the folio (folio_mapcount). */
  mapcount(head: Pfn): number {
    return this.maps[head]!;
  }

  isLocked(head: Pfn): boolean {
    return (this.flags[head]! & FOLIO_LOCKED) !== 0;
  }

  /** Whether the page is device memory that the CPU cannot reach (is_device_private_page). */
  isDevicePrivate(pfn: Pfn): boolean {
    return pfn >= this.ramPages;
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

  /** Take the folio lock if it is free (folio_trylock). Does not sleep. */
  trylock(head: Pfn): boolean {
    if (this.isLocked(head)) return false;
    this.flags[head]! |= FOLIO_LOCKED;
    return true;
  }

  /** Release the folio lock and wake its waiters. Does not sleep. */
  unlock(head: Pfn): void {
    const flags = this.flags[head]!;
    if ((flags & FOLIO_LOCKED) === 0) throw new Error(`folio ${head} unlocked but not locked`);
    this.flags[head] = flags & ~(FOLIO_LOCKED | FOLIO_WAITERS);
    if ((flags & FOLIO_WAITERS) === 0) return;
    const queue = this.#lockQueues.get(head)!;
    this.#lockQueues.delete(head);
    queue.wakeAll();
  }

  /** Take the folio lock; may sleep (folio_lock). The caller holds a reference. */
  *lock(head: Pfn): Task<void> {
    traceFolioLock(this.machine, head);
    while (!this.trylock(head)) yield* this.waitLocked(head);
  }

  /** Sleep until the lock is released once (migration_entry_wait_on_locked); takes no reference. */
  *waitLocked(head: Pfn): Task<void> {
    if (!this.isLocked(head)) return;
    let queue = this.#lockQueues.get(head);
    if (queue === undefined) {
      queue = new WaitQueue(this.machine.scheduler, `folio lock of pfn ${head}`);
      this.#lockQueues.set(head, queue);
      this.flags[head]! |= FOLIO_WAITERS;
    }
    yield* queue.wait();
  }

  /** Take a reference (folio_get); a reference on a free folio is a use after free and throws. */
  get(head: Pfn): void {
    if (this.refs[head]! <= 0) throw new Error(`reference on free pfn ${head}`);
    this.refs[head]!++;
  }

  /** Put a reference (folio_put); the last one frees: RAM to the memory, device pages to their provider. */
  put(head: Pfn): void {
    if (this.refs[head]! <= 0) throw new Error(`put of free pfn ${head}`);
    if (--this.refs[head]! === 0) this.free(head);
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

  /** @internal prep_compound_page: make pages of nobody a folio. */
  prep(head: Pfn, order: number, flags: number, refs: number): void {
    if (order === 0) this.orders[head] = 0;
    else this.orders.fill(order, head, head + 2 ** order);
    this.flags[head] = flags;
    this.refs[head] = refs;
    this.maps[head] = 0;
  }

  /** GUP pin: one reference that makes migration refuse the folio (pin_user_pages). */
  pin(head: Pfn): void {
    this.get(head);
    this.#pins.set(head, (this.#pins.get(head) ?? 0) + 1);
    this.flags[head]! |= FOLIO_PINNED;
  }

  /** Release a GUP pin (unpin_user_page). */
  unpin(head: Pfn): void {
    const pins = this.#pins.get(head);
    if (pins === undefined) throw new Error(`unpin of pfn ${head}, which is not pinned`);
    if (pins > 1) {
      this.#pins.set(head, pins - 1);
    } else {
      this.#pins.delete(head);
      this.flags[head]! &= ~FOLIO_PINNED;
    }
    this.put(head);
  }

  /** GUP pins of the folio. */
  pinCount(head: Pfn): number {
    return this.#pins.get(head) ?? 0;
  }

  /** @internal an address space is gone; with the last one the zero pages go too. */
  forgetMm(mm: Mm): void {
    this.mms.remove(mm.id);
    if (this.mms.size === 0) this.zeroPages.release();
  }

  /** @internal append a window of device memory; grows every array once. */
  appendWindow(pagemap: DevPagemap, pages: number): Pfn {
    const base = alignUp(this.#pages, HPAGE_PMD_NR);
    this.#pages = base + pages;
    this.refs = grown32(this.refs, this.#pages);
    this.maps = grown32(this.maps, this.#pages);
    this.orders = grown8(this.orders, this.#pages);
    this.flags = grown8(this.flags, this.#pages);
    this.rmap.grow(this.#pages);
    this.pagemaps.push(pagemap);
    return base;
  }

  /** @internal free a folio whose reference count has become 0 (__folio_put). */
  free(head: Pfn): void {
    const flags = this.flags[head]!;
    const order = this.orders[head]!;
    if (this.maps[head] !== 0 || (flags & (FOLIO_LOCKED | FOLIO_CACHED)) !== 0) this.#badFree(head);
    this.flags[head] = 0;
    this.rmap.clear(head);
    if ((flags & FOLIO_DEVICE) !== 0) this.pagemapOf(head)!.freeFolio(head, order);
    else if (order === 0) this.gather.free(head);
    else this.memory.freePagesBlock(head, order);
  }

  #badFree(head: Pfn): never {
    const maps = this.maps[head]!;
    const why = maps !== 0 ? `mapped ${maps} times` : this.isLocked(head) ? 'locked' : 'in the page cache';
    throw new Error(`pfn ${head} freed while ${why}`);
  }
}
