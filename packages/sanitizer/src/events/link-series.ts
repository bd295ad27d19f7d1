import type { DmaDevice, DmaIovaState } from '@gpusvm/dma-iova';
import type { CallSites } from '../call-sites.ts';
import type { DmaLedger, PutOff } from '../ledger.ts';
import { permission } from '../plain.ts';
import type { DeviceShadow } from '../shadow/device-shadow.ts';
import type { Frames } from '../shadow/frames.ts';
import type { FreshMap } from '../shadow/fresh-map.ts';
import { INLINE_LINK, inlineLink } from '../shadow/inline-link.ts';
import { LINKED, PRESENT, RESERVED } from '../shadow/slot-flags.ts';
import { enterRange } from '../shadow/slot-mapping.ts';
import type { LinkRow } from './link-row.ts';

// V8 folds a module's own constants, not imported ones (docs/decisions/0002-hot-paths.md).
const OWN_RESERVED = RESERVED;
const OWN_PRESENT = PRESENT;
const OWN_LINKED = LINKED;

/**
 * Plain links in a row: one page each, of one task, into one reservation, nothing else in between. What does not depend
 * on the page is checked once.
 */
export class LinkSeries implements PutOff {
  readonly #ledger: DmaLedger;
  readonly #fresh: FreshMap;
  readonly #row: LinkRow;
  readonly #frames: Frames;
  readonly #sites: CallSites;
  /** Nothing else has happened since it began. */
  open = false;
  #device: DeviceShadow;
  #reservation = 0;
  #firstPage = 0;
  #endPage = 0;
  /** What is linked, but for the direction. */
  #link = 0;
  /** Links entered in the slots and not counted yet. */
  #linked = 0;

  constructor(ledger: DmaLedger) {
    this.#ledger = ledger;
    this.#fresh = ledger.fresh;
    this.#row = ledger.row;
    this.#frames = ledger.log.frames;
    this.#sites = ledger.sites;
    this.#device = ledger.fresh.device;
    ledger.series = this;
  }

  /** Whether a link continues the series; its device is compared with that of the page table. */
  goesOn(state: DmaIovaState): boolean {
    return this.open && state === this.#row.state && this.#row.scheduler.current === this.#row.task;
  }

  /** Begin a series; false when its links would not be plain. */
  begin(dev: DmaDevice, state: DmaIovaState): boolean {
    const ledger = this.#ledger;
    const device = ledger.shadowOf(dev);
    const id = device.reservation(state);
    const { reservations } = device;
    this.close();
    if (id === 0 || reservations.special[id] !== 0 || reservations.state[id] !== state) return false;
    if (!device.plain || this.#frames.declared || device.changes.count !== 0) return false;
    this.open = true;
    this.#row.state = state;
    this.#row.task = this.#row.scheduler.current;
    this.#row.frameEnd = device.frames;
    this.#device = device;
    this.#reservation = id;
    this.#firstPage = reservations.firstPage[id]!;
    this.#endPage = this.#firstPage + reservations.pages[id]!;
    this.#link = inlineLink(ledger.log.currentTask(), 0, INLINE_LINK);
    return true;
  }

  /** Enter a link of the page that was just mapped; false, with nothing changed, when it is another one. */
  link(start: number, physBytes: number, dir: number): boolean {
    const fresh = this.#fresh;
    const { page, pfn } = fresh;
    if (
      page * 4096 !== start ||
      pfn * 4096 !== physBytes ||
      pfn >= this.#row.frameEnd ||
      page < this.#firstPage ||
      page >= this.#endPage ||
      fresh.device !== this.#device ||
      fresh.flags !== OWN_RESERVED ||
      (fresh.prot & 3) !== permission(dir) ||
      this.#frames.takeLeaf(pfn) === false
    )
      return false;
    fresh.live = false;
    this.#row.begin(fresh, dir, this.#link - dir * 4, this.#endPage);
    return true;
  }

  /** A page comes that does not go on with the row. */
  endRow(): void {
    const row = this.#row;
    if (row.count === 0) return;
    const { name, prot, pfn, mapped } = row;
    const page = row.expected;
    this.#linked += row.end();
    if (!mapped) return;
    // Its link did not come: it is like any other page that was mapped.
    row.mapped = false;
    const fresh = this.#fresh;
    fresh.live = true;
    fresh.device = this.#device;
    fresh.name = name;
    fresh.page = page;
    fresh.pages = 1;
    fresh.pfn = pfn;
    fresh.prot = prot;
    fresh.flags = OWN_RESERVED;
  }

  /** Enter a link of several pages that were just mapped; false, with nothing changed, when they are others. */
  linkRange(start: number, physBytes: number, sizeBytes: number, dir: number): boolean {
    const fresh = this.#fresh;
    const frames = this.#frames;
    const { page, pages, pfn } = fresh;
    if (
      page * 4096 !== start ||
      pfn * 4096 !== physBytes ||
      pages * 4096 !== sizeBytes ||
      pfn + pages > this.#row.frameEnd ||
      page < this.#firstPage ||
      page + pages > this.#endPage ||
      fresh.device !== this.#device ||
      fresh.flags !== OWN_RESERVED ||
      (fresh.prot & 3) !== permission(dir) ||
      frames.firstFree(pfn, pages) >= 0
    )
      return false;
    this.endRow();
    fresh.live = false;
    const { slots, mappings } = this.#device;
    const id = mappings.take();
    const call = this.#sites.next();
    const task = this.#ledger.log.currentTask();
    mappings.fillLink(id, page, pages, physBytes, dir, this.#reservation, task, call);
    enterRange(slots, page, pages, pfn, OWN_RESERVED | OWN_PRESENT | OWN_LINKED, id, call);
    frames.addLeaves(pfn, pages, 1);
    this.#linked += pages;
    return true;
  }

  /** Another event comes: enter what was counted. */
  close(): void {
    this.open = false;
    this.endRow();
    if (this.#linked === 0) return;
    const { linked, syncs } = this.#device.reservations;
    linked[this.#reservation]! += this.#linked;
    syncs[this.#reservation] = 0;
    this.#linked = 0;
  }
}
