import type { DmaLedger } from '../ledger.ts';
import { QUICK } from '../quick.ts';
import type { DeviceShadow } from '../shadow/device-shadow.ts';
import type { LinkRow } from './link-row.ts';
import type { FreshMap } from '../shadow/fresh-map.ts';
import { REGION_PAGES } from '../shadow/region.ts';
import { NO_REGION } from '../shadow/slot-region.ts';
import { PRESENT, RESERVED, STALE } from '../shadow/slot-flags.ts';
import { mapSlots, unmapSlots } from '../shadow/slot-mapping.ts';
import { changeFlags } from '../shadow/slot-ranges.ts';

// V8 folds a module's own constants, not imported ones (docs/decisions/0002-hot-paths.md).
const OWN_RESERVED = RESERVED;
const OWN_REGION_PAGES = REGION_PAGES;

/** Follows the page table and its invalidations. */
export class IommuEvents {
  readonly #ledger: DmaLedger;
  readonly #fresh: FreshMap;
  readonly #row: LinkRow;

  constructor(ledger: DmaLedger) {
    this.#ledger = ledger;
    this.#fresh = ledger.fresh;
    this.#row = ledger.row;
  }

  /** A field and small, so that V8 inlines it where the page table emits. */
  readonly map = (name: string, page: number, pfn: number, pages: number, prot: number): void => {
    const row = this.#row;
    if (
      page === row.expected &&
      pages === 1 &&
      prot === row.prot &&
      name === row.name &&
      row.mapped === false
    ) {
      row.mapped = true;
      row.pfn = pfn;
    } else this.#mapOther(name, page, pfn, pages, prot);
  };

  /** Any page but the next one of a row. */
  #mapOther(name: string, page: number, pfn: number, pages: number, prot: number): void {
    this.#ledger.series.endRow();
    const fresh = this.#fresh;
    const { region } = fresh;
    const i = page - region.base;
    // Pages in a row fall into one region.
    if (
      pages === 1 &&
      i >= 0 &&
      i < OWN_REGION_PAGES &&
      region.split === true &&
      fresh.live === false &&
      name === fresh.name &&
      !this.#ledger.putsOff
    ) {
      const flags = region.flagsOf[i]!;
      if ((flags & ~OWN_RESERVED) === 0) {
        fresh.live = true;
        fresh.page = page;
        fresh.pages = 1;
        fresh.pfn = pfn;
        fresh.prot = prot;
        fresh.flags = flags;
        return;
      }
    }
    this.#map(name, page, pfn, pages, prot);
  }

  unmap(name: string, page: number, pages: number, unmapped: number, overHoles: boolean): void {
    const ledger = this.#ledger;
    ledger.settle();
    const device = ledger.shadow(name);
    if (device.gone) return;
    const { cleared, changes } = device;
    // A call that takes back all that it has mapped (a failing sync, a later piece that fails) has changed nothing.
    if (changes.count > 0 && page <= changes.firstPage && page + pages >= changes.endPage) changes.reset();
    // A walk that steps over holes reports a sum, every other one a prefix.
    const reached = overHoles ? pages : unmapped;
    unmapSlots(device.slots, page, reached, ledger.log.frames, cleared);
    if (cleared.present > 0) device.pending.add(page, reached);
    // Rules object to unmaps that cleared more than was mapped, or another length than asked.
    if (!overHoles && (cleared.present !== pages || unmapped !== pages)) {
      const { op } = ledger;
      op.device = device;
      op.reservation = 0;
      op.firstPage = page;
      op.pages = pages;
      op.sizeBytes = pages * 4096;
      op.unmappedBytes = unmapped * 4096;
      op.presentPages = cleared.present;
      ledger.run('iommuUnmap');
    }
    device.unmapPage = -1;
  }

  invalidate(name: string, page: number, order: number, leafOnly: boolean): void {
    const ledger = this.#ledger;
    ledger.settle();
    const device = ledger.shadow(name);
    if (order < 0) {
      device.pending.clear((first, n) => clean(device, first, n));
      device.tables.clear();
      return;
    }
    const end = page + (order < 31 ? 1 << order : 2 ** order);
    if (!leafOnly && device.tables.waiting > 0) device.tables.invalidate(page, end);
    const { pending, cleared } = device;
    if (pending.length === 0) return;
    if (QUICK && pending.length === 1 && pending.isOnly(cleared.firstPage, cleared.pages)) {
      if (cleared.firstPage >= page && cleared.firstPage + cleared.pages <= end) {
        pending.forget();
        ledger.putOffCleaning(device);
        return;
      }
    }
    pending.invalidate(page, end, (first, n) => clean(device, first, n));
  }

  tableUnlink(name: string, table: number, page: number, pages: number): void {
    const device = this.#ledger.shadow(name);
    if (!device.gone) device.tables.unlink(table, page, pages);
  }

  tableFree(name: string, table: number): void {
    const ledger = this.#ledger;
    const device = ledger.shadow(name);
    if (device.gone) return;
    const cached = device.tables.free(table);
    if (cached === null) return;
    const { op } = ledger;
    op.device = device;
    op.reservation = 0;
    op.firstPage = cached.firstPage;
    op.pages = cached.pages;
    ledger.run('tableFree');
  }

  #map(name: string, page: number, pfn: number, pages: number, prot: number): void {
    const ledger = this.#ledger;
    const fresh = this.#fresh;
    ledger.settleLate();
    const device = ledger.shadow(name);
    if (device.gone) return;
    device.sawMap = true;
    const { slots } = device;
    const flags = slots.flagsAt(page);
    // Without a past, no rule objects.
    if (QUICK && (flags & ~OWN_RESERVED) === 0 && slots.haveExactly(page, pages, flags)) {
      fresh.live = true;
      fresh.device = device;
      fresh.name = name;
      fresh.region = pages === 1 ? slots.elements(page) : NO_REGION;
      fresh.page = page;
      fresh.pages = pages;
      fresh.pfn = pfn;
      fresh.prot = prot;
      fresh.flags = flags;
      return;
    }
    ledger.settle();
    ledger.log.frames.addLeaves(pfn, pages, 1);
    if ((slots.anyFlags(page, pages) & (PRESENT | STALE)) !== 0) {
      const { op } = ledger;
      op.device = device;
      op.reservation = 0;
      op.firstPage = page;
      op.pages = pages;
      op.pfn = pfn;
      ledger.run('iommuMap');
    }
    device.changes.add(page, pfn, pages, prot);
    mapSlots(slots, page, pages, pfn);
  }
}

function clean(device: DeviceShadow, page: number, pages: number): void {
  changeFlags(device.slots, page, pages, STALE, 0);
}
