import type {
  DmaIovaEvent,
  DmaIovaFreeEvent,
  DmaIovaLinkEvent,
  DmaIovaSyncEvent,
  DmaIovaUnlinkEvent,
} from '@gpusvm/dma-iova';
import type { DmaLedger } from '../ledger.ts';
import type { DmaOp } from '../op.ts';
import type { DeviceShadow } from '../shadow/device-shadow.ts';
import { BOUNCED, LINKED, ORPHAN, PRESENT, RESERVED, SYNCED } from '../shadow/slots.ts';
import { isPlainAlloc, isPlainFree, isPlainLink, isPlainSync, isPlainUnlink } from '../plain.ts';
import { scanUnlink } from '../unlink-scan.ts';

/** Follows the two-step API: reservations and their links. */
export class IovaEvents {
  readonly #ledger: DmaLedger;
  readonly #op: DmaOp;

  constructor(ledger: DmaLedger) {
    this.#ledger = ledger;
    this.#op = ledger.op;
  }

  alloc(e: DmaIovaEvent): void {
    const op = this.#op;
    const device = this.#ledger.shadow(e.device);
    op.device = device;
    op.reservation = 0;
    op.addrBytes = e.addrBytes;
    op.sizeBytes = e.sizeBytes;
    op.firstPage = Math.floor(e.addrBytes / 4096);
    op.pages = Math.ceil((e.addrBytes + e.sizeBytes) / 4096) - op.firstPage;
    if (!isPlainAlloc(device, op.firstPage, op.pages)) this.#ledger.run('alloc');
    const { reservations, reservationAt } = device;
    // An overlapping allocation takes the place of the record that it collides with.
    const older = reservationAt.get(op.firstPage);
    if (older !== 0) reservations.release(older);
    const id = reservations.take();
    reservations.addrBytes[id] = e.addrBytes;
    reservations.sizeBytes[id] = e.sizeBytes;
    reservations.firstPage[id] = op.firstPage;
    reservations.pages[id] = op.pages;
    reservations.task[id] = this.#ledger.log.currentTask();
    if (this.#ledger.captureSites) device.reservationSites[id] = this.#ledger.site();
    reservationAt.set(op.firstPage, id);
    device.slots.change(op.firstPage, op.pages, 0, RESERVED);
  }

  link(e: DmaIovaLinkEvent): void {
    const op = this.#op;
    const device = this.#ledger.shadow(e.device);
    const start = e.addrBytes + e.offsetBytes;
    const reservation = device.reservation(Math.floor(e.addrBytes / 4096));
    if (
      isPlainLink(device, reservation, e, this.#ledger.log.frames) &&
      this.#linkPlain(device, reservation, e)
    )
      return;
    op.device = device;
    op.reservation = reservation;
    op.addrBytes = e.addrBytes;
    op.reservedBytes = e.reservedBytes;
    op.offsetBytes = e.offsetBytes;
    op.physBytes = e.physBytes;
    op.sizeBytes = e.sizeBytes;
    op.dir = e.dir;
    op.attrs = e.attrs;
    op.err = e.err;
    op.firstPage = Math.floor(start / 4096);
    op.pages = Math.ceil((start + e.sizeBytes) / 4096) - op.firstPage;
    op.bounced = device.newBounces.length > 0;
    this.#ledger.run('link');
    if (op.reservation !== 0) {
      if (e.err === 0) this.#linked(device);
      else this.#failed(device);
    }
    if (op.bounced) device.newBounces.length = 0;
  }

  sync(e: DmaIovaSyncEvent): void {
    const op = this.#op;
    const device = this.#ledger.shadow(e.device);
    const start = e.addrBytes + e.offsetBytes;
    op.device = device;
    op.reservation = device.reservation(Math.floor(e.addrBytes / 4096));
    op.addrBytes = e.addrBytes;
    op.offsetBytes = e.offsetBytes;
    op.sizeBytes = e.sizeBytes;
    op.firstPage = Math.floor(start / 4096);
    op.pages = Math.ceil((start + e.sizeBytes) / 4096) - op.firstPage;
    if (!isPlainSync(op)) this.#ledger.run('sync');
    if (op.reservation === 0 || op.pages <= 0 || e.err !== 0) return;
    device.reservations.syncs[op.reservation]!++;
    device.slots.changeWhere(op.firstPage, op.pages, LINKED, 0, SYNCED);
  }

  unlink(e: DmaIovaUnlinkEvent): void {
    const op = this.#op;
    const device = this.#ledger.shadow(e.device);
    const start = e.addrBytes + e.offsetBytes;
    op.device = device;
    op.reservation = device.reservation(Math.floor(e.addrBytes / 4096));
    op.addrBytes = e.addrBytes;
    op.reservedBytes = e.reservedBytes;
    op.offsetBytes = e.offsetBytes;
    op.sizeBytes = e.sizeBytes;
    op.unmappedBytes = e.unmappedBytes;
    op.api = e.api;
    op.dir = e.dir;
    op.attrs = e.attrs;
    op.firstPage = Math.floor(start / 4096);
    op.pages = Math.ceil((start + e.sizeBytes) / 4096) - op.firstPage;
    if (isPlainUnlink(op, this.#ledger.log)) {
      this.#dropPlain(device);
      return;
    }
    scanUnlink(op, this.#ledger.log);
    this.#ledger.run('unlink');
    this.#unlinked(device);
  }

  free(e: DmaIovaFreeEvent): void {
    const op = this.#op;
    const device = this.#ledger.shadow(e.device);
    const { reservations, slots } = device;
    op.device = device;
    op.api = e.api;
    op.addrBytes = e.addrBytes;
    op.sizeBytes = e.sizeBytes;
    op.firstPage = Math.floor(e.addrBytes / 4096);
    op.pages = Math.ceil((e.addrBytes + e.sizeBytes) / 4096) - op.firstPage;
    op.reservation = device.reservationAt.get(op.firstPage);
    if (!isPlainFree(op)) this.#ledger.run('free');
    const id = op.reservation;
    if (id === 0) return;
    const first = reservations.firstPage[id]!;
    const pages = reservations.pages[id]!;
    if (reservations.linked[id]! > 0) this.#drop(device, first, pages);
    slots.change(first, pages, RESERVED, 0);
    device.reservationAt.delete(first);
    reservations.release(id);
  }

  /** A plain link whose slots are fresh; false, with nothing changed, when they are not. */
  #linkPlain(device: DeviceShadow, reservation: number, e: DmaIovaLinkEvent): boolean {
    const { mappings, slots } = device;
    const first = (e.addrBytes + e.offsetBytes) / 4096;
    const pages = e.sizeBytes / 4096;
    const id = mappings.upcoming;
    if (pages === 1) {
      if (!slots.linkOne(first, id, RESERVED | PRESENT)) return false;
    } else {
      if (!slots.haveExactly(first, pages, RESERVED | PRESENT)) return false;
      slots.link(first, pages, id);
    }
    mappings.take();
    this.#record(device, id, reservation, first, pages, e);
    return true;
  }

  #record(
    device: DeviceShadow,
    id: number,
    reservation: number,
    firstPage: number,
    pages: number,
    e: DmaIovaLinkEvent | DmaOp,
  ): void {
    const { mappings, reservations } = device;
    mappings.fill(id, firstPage, pages, e, 0, reservation, this.#ledger.log.currentTask());
    if (this.#ledger.captureSites) device.mappingSites[id] = this.#ledger.site();
    reservations.linked[reservation]! += pages;
    reservations.syncs[reservation] = 0;
    reservations.failedPages[reservation] = 0;
  }

  #linked(device: DeviceShadow): void {
    const op = this.#op;
    const { mappings, reservations, slots } = device;
    if (op.pages <= 0) return;
    const id = mappings.take();
    this.#record(device, id, op.reservation, op.firstPage, op.pages, op);
    slots.link(op.firstPage, op.pages, id);
    const end = op.addrBytes + op.offsetBytes + op.sizeBytes;
    if ((end & 4095) !== 0) {
      reservations.raggedEnd[op.reservation] = op.firstPage + op.pages;
      device.paddingBytes += 4096 - (end & 4095);
    }
    device.paddingBytes += op.physBytes & 4095;
    const bounced = op.bounced && this.#markBounced(device);
    if (bounced) {
      mappings.setBounced(id);
      reservations.bounced[op.reservation] = 1;
    }
    this.#countFrames(id, device, 1);
  }

  /** As {@link #unlinked}, for a range in which every slot is linked and none is left in the page table. */
  #dropPlain(device: DeviceShadow): void {
    const { firstPage, pages, reservation } = this.#op;
    const { slots, mappings } = device;
    const end = firstPage + pages;
    for (let page = firstPage; page < end; ) {
      const elements = slots.elements(page);
      const stop = Math.min(end, page - (page & 511) + 512);
      if (elements === null) {
        mappings.drop(slots.linkAt(page), stop - page);
      } else {
        const { linkOf } = elements;
        for (let i = page & 511, n = stop - page; n > 0; i++, n--) mappings.drop(linkOf[i]!, 1);
      }
      page = stop;
    }
    device.reservations.linked[reservation]! -= pages;
    slots.change(firstPage, pages, LINKED | SYNCED, 0);
  }

  /** Find the slots of a link that lead to a bounce slot. Returns whether there is one. */
  #markBounced(device: DeviceShadow): boolean {
    const { firstPage, physBytes } = this.#op;
    const base = Math.floor(physBytes / 4096);
    for (let i = 0; i < device.newBounces.length; i += 2) {
      const page = firstPage + Math.floor(device.newBounces[i]! / 4096) - base;
      device.slots.change(page, 1, 0, BOUNCED);
      device.liveBounces++;
    }
    return device.newBounces.length > 0;
  }

  #failed(device: DeviceShadow): void {
    const { reservations } = device;
    reservations.failedPage[this.#op.reservation] = this.#op.firstPage;
    reservations.failedPages[this.#op.reservation] = this.#op.pages;
  }

  #unlinked(device: DeviceShadow): void {
    const op = this.#op;
    if (op.linkedPages + op.foreignPages > 0) this.#drop(device, op.firstPage, op.pages);
    device.liveBounces -= op.bouncedPages;
    const { raggedEnd } = device.reservations;
    const ragged = raggedEnd[op.reservation]!;
    if (ragged > op.firstPage && ragged <= op.firstPage + op.pages) raggedEnd[op.reservation] = 0;
  }

  /** The program has ended what is mapped in a range; leaves that are still there are orphans from now on. */
  #drop(device: DeviceShadow, firstPage: number, pages: number): void {
    const { slots, mappings, reservations } = device;
    let present = 0;
    slots.visit(firstPage, pages, (_page, n, flags, link) => {
      present |= flags & PRESENT;
      if ((flags & LINKED) === 0) return;
      const owner = mappings.reservation(link);
      // A classic mapping keeps its record until its own unmap.
      if (owner === 0) return;
      reservations.linked[owner]! -= n;
      if (mappings.alive(link) > n) {
        mappings.drop(link, n);
        return;
      }
      this.#countFrames(link, device, -1);
      mappings.release(link);
    });
    if (present !== 0) slots.changeWhere(firstPage, pages, PRESENT, 0, ORPHAN);
    slots.change(firstPage, pages, LINKED | SYNCED | BOUNCED, 0);
  }

  #countFrames(id: number, device: DeviceShadow, delta: number): void {
    const { mappings } = device;
    const bounced = mappings.bounced(id);
    const maintained = device.maintains(mappings.dir(id), mappings.attrs(id), bounced);
    if (!bounced && !maintained) return;
    const { frames } = this.#ledger.log;
    const first = Math.floor(mappings.physBytes(id) / 4096);
    if (bounced) frames.others.add(first, mappings.pages(id), delta);
    if (maintained) frames.writers.add(first, mappings.pages(id), delta);
  }
}
