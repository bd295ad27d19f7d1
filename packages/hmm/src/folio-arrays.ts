import { type Machine, type Pfn, type Task, WaitQueue } from '@gpusvm/kernel';
import { FOLIO_LOCKED, FOLIO_PINNED, FOLIO_WAITERS } from './folio-flags.ts';
import { ProtocolTracepoints } from './protocol-tracepoints.ts';
import { PAGE_PIN } from './tracepoints.ts';
import { grown16, grown32, grown8 } from './grown-array.ts';

/**
 * The state of pages as a structure of arrays over pfn, 21 bytes a page with the reverse mapping; references, folio
 * locks and pins.
 *
 * A folio is a naturally aligned block of 2^order pages, so the head of a page follows from its order. Flags,
 * reference count, map count and the reverse mapping live at the head. The map count is the number of page-table
 * entries of any size that map the folio or a part of it (folio_mapcount), and every one of them owns one
 * reference; a free page has reference count 0.
 */
export abstract class FolioArrays {
  readonly machine: Machine;
  /** @internal */
  readonly protocol: ProtocolTracepoints;
  /** @internal hot arrays; replaced when a device window is appended, so never keep them across a sleep. */
  refs: Int32Array;
  /** @internal */
  maps: Int32Array;
  /** @internal order of the folio, at every page of it. */
  orders: Uint8Array;
  /** @internal bits of folio-flags.ts, at the head. */
  flags: Uint16Array;
  readonly #pins = new Map<Pfn, number>();
  readonly #lockQueues = new Map<Pfn, WaitQueue>();
  #pages: number;

  constructor(machine: Machine, pages: number) {
    this.machine = machine;
    this.protocol = new ProtocolTracepoints(machine);
    this.#pages = pages;
    this.refs = new Int32Array(pages);
    this.maps = new Int32Array(pages);
    this.orders = new Uint8Array(pages);
    this.flags = new Uint16Array(pages);
  }

  /** @internal free a folio whose reference count has become 0. */
  abstract free(head: Pfn): void;

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

  /** Take the folio lock if it is free (folio_trylock). Does not sleep. */
  trylock(head: Pfn): boolean {
    const flags = this.flags[head]!;
    if ((flags & FOLIO_LOCKED) !== 0) return false;
    this.flags[head] = flags | FOLIO_LOCKED;
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
    if (this.protocol.folioLock.enabled) this.protocol.folioLock.emit({ folio: head });
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
    const refs = this.refs[head]!;
    if (refs <= 0) throw new Error(`put of free pfn ${head}`);
    this.refs[head] = refs - 1;
    if (refs === 1) this.free(head);
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
    this.#tracePins(head);
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
    this.#tracePins(head);
    this.put(head);
  }

  #tracePins(head: Pfn): void {
    const point = this.machine.trace.point(PAGE_PIN);
    if (point.enabled) point.emit({ head, pins: this.pinCount(head) });
  }

  /** GUP pins of the folio. */
  pinCount(head: Pfn): number {
    return this.#pins.get(head) ?? 0;
  }

  /** @internal make room for pages behind the last; what is new is free. */
  protected grow(pages: number): void {
    this.#pages = pages;
    this.refs = grown32(this.refs, pages);
    this.maps = grown32(this.maps, pages);
    this.orders = grown8(this.orders, pages);
    this.flags = grown16(this.flags, pages);
  }
}
