import type { DmaDevice, DmaIovaApi, DmaIovaState } from '@gpusvm/dma-iova';
import type { DmaLedger } from '../ledger.ts';
import type { DmaOp } from '../op.ts';
import { isPlainAlloc, isPlainFree, isPlainLink } from '../plain.ts';
import { QUICK } from '../quick.ts';
import type { DeviceShadow } from '../shadow/device-shadow.ts';
import type { FreshMap } from '../shadow/fresh-map.ts';
import { INLINE_LINK } from '../shadow/inline-link.ts';
import { BOUNCED, RESERVED } from '../shadow/slot-flags.ts';
import { linkSlots } from '../shadow/slot-mapping.ts';
import { changeFlags, levelFlags, syncSlots } from '../shadow/slot-ranges.ts';
import { countFrames } from './count-frames.ts';
import { dropLinks } from './drop-links.ts';
import { keepInline } from './keep-inline.ts';
import type { LinkRow } from './link-row.ts';
import { LinkSeries } from './link-series.ts';

/** Follows the two-step API: reservations, their links and syncs. */
export class IovaEvents {
  readonly #ledger: DmaLedger;
  readonly #op: DmaOp;
  readonly #fresh: FreshMap;
  readonly #row: LinkRow;
  readonly #series: LinkSeries;

  constructor(ledger: DmaLedger) {
    this.#ledger = ledger;
    this.#op = ledger.op;
    this.#fresh = ledger.fresh;
    this.#row = ledger.row;
    this.#series = new LinkSeries(ledger);
  }

  alloc(dev: DmaDevice, state: DmaIovaState): void {
    const ledger = this.#ledger;
    const device = ledger.enter(dev);
    const { reservations, reservationAt } = device;
    const first = device.pageAt(state.addr);
    const pages = device.pageBehind(state.addr + state.size) - first;
    if (!QUICK || !isPlainAlloc(device, first, pages)) {
      const op = this.#op;
      op.device = device;
      op.reservation = 0;
      op.state = state;
      op.addrBytes = state.addr;
      op.sizeBytes = state.size;
      op.firstPage = first;
      op.pages = pages;
      ledger.run('alloc');
    }
    const id = reservations.take();
    reservations.addrBytes[id] = state.addr;
    reservations.sizeBytes[id] = state.size;
    reservations.firstPage[id] = first;
    reservations.pages[id] = pages;
    reservations.task[id] = ledger.log.currentTask();
    reservations.call[id] = ledger.sites.nextReservation();
    reservations.state[id] = state;
    // An overlapping allocation takes the place of the record that it collides with.
    const older = reservationAt.replace(first, id);
    if (older !== 0) reservations.release(older);
    device.noteReservation(state, id);
    changeFlags(device.slots, first, pages, 0, RESERVED);
  }

  /** A field and small, so that V8 inlines it where the DMA layer emits. */
  readonly link = (
    dev: DmaDevice,
    state: DmaIovaState,
    physBytes: number,
    offsetBytes: number,
    sizeBytes: number,
    dir: number,
    attrs: number,
    err: number,
  ): void => {
    const row = this.#row;
    if (
      row.mapped === false ||
      sizeBytes !== 4096 ||
      attrs !== 0 ||
      err !== 0 ||
      row.take(state, state.addr + offsetBytes, physBytes, dir) === false
    )
      this.#linkOther(dev, state, physBytes, offsetBytes, sizeBytes, dir, attrs, err);
  };

  /** Any link but the next one of a row. */
  #linkOther(
    dev: DmaDevice,
    state: DmaIovaState,
    physBytes: number,
    offsetBytes: number,
    sizeBytes: number,
    dir: number,
    attrs: number,
    err: number,
  ): void {
    const start = state.addr + offsetBytes;
    if (
      this.#fresh.live === true &&
      attrs === 0 &&
      err === 0 &&
      (this.#series.goesOn(state) || this.#series.begin(dev, state)) &&
      (sizeBytes === 4096
        ? this.#series.link(start, physBytes, dir)
        : this.#series.linkRange(start, physBytes, sizeBytes, dir))
    )
      return;
    const ledger = this.#ledger;
    const device = ledger.enter(dev);
    const id = device.reservation(state);
    const op = this.#op;
    op.device = device;
    op.reservation = id;
    op.state = state;
    op.addrBytes = state.addr;
    op.reservedBytes = state.size;
    op.offsetBytes = offsetBytes;
    op.physBytes = physBytes;
    op.sizeBytes = sizeBytes;
    op.dir = dir;
    op.attrs = attrs;
    op.err = err;
    op.firstPage = device.pageAt(start);
    op.pages = device.pageBehind(start + sizeBytes) - op.firstPage;
    op.bounced = device.bounces.taken > 0;
    if (!QUICK || !isPlainLink(op, ledger.log.frames)) ledger.run('link');
    if (id !== 0) {
      if (err === 0) this.#linked(device);
      else this.#failed(device);
    }
    device.changes.reset();
    device.bounces.explained();
  }

  sync(dev: DmaDevice, state: DmaIovaState, offsetBytes: number, sizeBytes: number, err: number): void {
    const ledger = this.#ledger;
    const op = this.#op;
    const device = ledger.enter(dev);
    const id = device.reservation(state);
    const start = state.addr + offsetBytes;
    op.device = device;
    op.reservation = id;
    op.state = state;
    op.addrBytes = state.addr;
    op.reservedBytes = state.size;
    op.offsetBytes = offsetBytes;
    op.sizeBytes = sizeBytes;
    op.firstPage = device.pageAt(start);
    op.pages = device.pageBehind(start + sizeBytes) - op.firstPage;
    ledger.run('sync');
    if (id === 0 || op.pages <= 0 || err !== 0) return;
    device.reservations.syncs[id]!++;
    syncSlots(device.slots, op.firstPage, op.pages);
  }

  free(dev: DmaDevice, state: DmaIovaState, sizeBytes: number, api: DmaIovaApi): void {
    const ledger = this.#ledger;
    const op = this.#op;
    const device = ledger.enter(dev);
    const { reservations, slots } = device;
    const id = device.reservation(state);
    op.device = device;
    op.api = api;
    op.state = state;
    op.addrBytes = state.addr;
    op.reservedBytes = state.size;
    op.sizeBytes = sizeBytes;
    op.firstPage = device.pageAt(state.addr);
    op.pages = device.pageBehind(state.addr + sizeBytes) - op.firstPage;
    op.reservation = id;
    if (!QUICK || !isPlainFree(op)) ledger.run('free');
    op.judged = false;
    if (id === 0) return;
    const first = reservations.firstPage[id]!;
    const pages = reservations.pages[id]!;
    if (reservations.linked[id]! > 0) dropLinks(this.#ledger.log.frames, device, first, pages);
    if (slots.haveExactly(first, pages, RESERVED)) levelFlags(slots, first, pages, 0);
    else changeFlags(slots, first, pages, RESERVED, 0);
    device.reservationAt.delete(first);
    reservations.release(id);
  }

  #linked(device: DeviceShadow): void {
    const op = this.#op;
    const { mappings, reservations, slots } = device;
    if (op.pages <= 0) return;
    const id = mappings.take();
    const call = this.#ledger.sites.next();
    mappings.fill(id, op, INLINE_LINK, this.#ledger.log.currentTask(), call);
    reservations.linked[op.reservation]! += op.pages;
    reservations.syncs[op.reservation] = 0;
    reservations.failedPages[op.reservation] = 0;
    keepInline(device, op.firstPage, op.pages);
    linkSlots(slots, op.firstPage, op.pages, id, call);
    const end = op.addrBytes + op.offsetBytes + op.sizeBytes;
    const beyond = device.offsetOf(end);
    if (beyond !== 0) {
      reservations.raggedEnd[op.reservation] = op.firstPage + op.pages;
      reservations.special[op.reservation] = 1;
      device.paddingBytes += device.granulePages * 4096 - beyond;
    }
    device.paddingBytes += device.offsetOf(op.physBytes);
    if (op.bounced) {
      this.#markBounced(device);
      mappings.setBounced(id);
      reservations.bounced[op.reservation] = 1;
      reservations.special[op.reservation] = 1;
    }
    if (!device.plain) countFrames(this.#ledger.log.frames, device, id, 1);
  }

  /** Find the slots of a link that lead to a bounce slot. */
  #markBounced(device: DeviceShadow): void {
    const { firstPage, physBytes } = this.#op;
    const { taken, origins } = device.bounces;
    const base = device.pageAt(physBytes);
    const per = device.granulePages;
    for (let i = 0; i < taken; i++)
      changeFlags(device.slots, firstPage + device.pageAt(origins[i]!) - base, per, 0, BOUNCED);
  }

  #failed(device: DeviceShadow): void {
    const { reservations } = device;
    reservations.special[this.#op.reservation] = 1;
    reservations.failedPage[this.#op.reservation] = this.#op.firstPage;
    reservations.failedPages[this.#op.reservation] = this.#op.pages;
  }
}
