import { DMA_MAPPING_ERROR, DMA_NONE, type DmaDevice } from '@gpusvm/dma-iova';
import type { DmaLedger } from '../ledger.ts';
import type { DmaOp } from '../op.ts';
import { isPlainBounce, isPlainMap, permission } from '../plain.ts';
import { QUICK } from '../quick.ts';
import type { DeviceShadow } from '../shadow/device-shadow.ts';
import { FRAME_FREE } from '../shadow/frames.ts';
import { INLINE_PAGE, inlineDir, inlineKind, inlineLink } from '../shadow/inline-link.ts';
import { regionOf } from '../shadow/region.ts';
import { rightsOf } from '../shadow/rights.ts';
import { BOUNCED, LINKED, ORPHAN, PRESENT, RESERVED, SYNCED } from '../shadow/slot-flags.ts';
import { linkSlots } from '../shadow/slot-mapping.ts';
import { changeFlags, changeFlagsWhere } from '../shadow/slot-ranges.ts';
import { countFrames } from './count-frames.ts';
import { coveringMapping } from '../shadow/covering-mapping.ts';
import { keepInline } from './keep-inline.ts';

/** Follows mappings of their own (dma_map_page and relatives). */
export class ClassicEvents {
  readonly #ledger: DmaLedger;
  readonly #op: DmaOp;

  constructor(ledger: DmaLedger) {
    this.#ledger = ledger;
    this.#op = ledger.op;
  }

  map(
    dev: DmaDevice,
    addrBytes: number,
    physBytes: number,
    sizeBytes: number,
    dir: number,
    attrs: number,
  ): void {
    const ledger = this.#ledger;
    const device = ledger.shadowOf(dev);
    if (
      sizeBytes === 4096 &&
      attrs === 0 &&
      device.plain &&
      dir !== DMA_NONE &&
      !ledger.log.frames.declared
    ) {
      if (ledger.fresh.live) {
        if (ledger.fresh.pages === 1 && this.#mapFresh(device, addrBytes, physBytes, dir)) return;
      } else if (
        QUICK &&
        addrBytes === physBytes &&
        !device.translated &&
        this.#mapDirect(device, addrBytes, dir)
      )
        return;
    }
    ledger.enter(dev);
    const op = this.#decode(device, addrBytes, sizeBytes, dir, attrs);
    op.physBytes = physBytes;
    op.err = addrBytes === DMA_MAPPING_ERROR ? -1 : 0;
    op.bounced = device.bounces.taken > 0;
    device.unmapPage = -1;
    if (op.err === 0) {
      if (!QUICK || !(isPlainMap(op, ledger.log.frames) || isPlainBounce(op, ledger.log.frames)))
        ledger.run('map');
      this.#mapped(device);
    } else if (device.changes.count > 0 || op.bounced) {
      ledger.run('map');
    }
    device.changes.reset();
    device.bounces.explained();
  }

  unmap(dev: DmaDevice, addrBytes: number, sizeBytes: number, dir: number, attrs: number): void {
    const ledger = this.#ledger;
    const device = ledger.enter(dev);
    if (QUICK && sizeBytes === 4096 && attrs === 0 && this.#unmapPlain(device, addrBytes, dir)) return;
    const op = this.#decode(device, addrBytes, sizeBytes, dir, attrs);
    const id = this.#find(device);
    if (!QUICK || id <= 0 || !this.#fits(device, id)) {
      op.mapping = id > 0 ? device.record(id) : id < 0 ? device.mapping(id, op.firstPage) : null;
      ledger.run('unmap');
    }
    device.unmapPage = -1;
    if (id < 0) this.#unmapInline(device);
    else if (id > 0) this.#unmapped(device, id);
  }

  /** CPU or device take over a live mapping. */
  syncSingle(dev: DmaDevice, addrBytes: number, sizeBytes: number, dir: number): void {
    const device = this.#ledger.enter(dev);
    const op = this.#decode(device, addrBytes, sizeBytes, dir, 0);
    op.mapping = coveringMapping(device, addrBytes, sizeBytes);
    this.#ledger.run('syncSingle');
  }

  #decode(device: DeviceShadow, addrBytes: number, sizeBytes: number, dir: number, attrs: number): DmaOp {
    const op = this.#op;
    op.device = device;
    op.reservation = 0;
    op.mapping = null;
    op.addrBytes = addrBytes;
    op.sizeBytes = sizeBytes;
    op.dir = dir;
    op.attrs = attrs;
    op.firstPage = device.pageAt(addrBytes);
    op.pages = device.pageBehind(addrBytes + sizeBytes) - op.firstPage;
    return op;
  }

  /** A plain mapping of the page that was just mapped; false, with nothing changed, when it is another one. */
  #mapFresh(device: DeviceShadow, addrBytes: number, physBytes: number, dir: number): boolean {
    const ledger = this.#ledger;
    const { fresh, log } = ledger;
    const { page, pfn, region } = fresh;
    if (fresh.device !== device || fresh.flags !== 0 || page * 4096 !== addrBytes || pfn * 4096 !== physBytes)
      return false;
    if ((fresh.prot & 3) !== permission(dir) || device.changes.count !== 0) return false;
    if (page < 1 || page > device.limitPage || pfn >= device.frames || device.touchesReserved(page, 1))
      return false;
    const task = log.currentTask();
    if (!log.frames.takeLeaf(pfn)) return false;
    fresh.live = false;
    const i = page & 511;
    region.used++;
    region.flagsOf[i] = PRESENT | LINKED | SYNCED | RESERVED;
    region.linkOf[i] = inlineLink(task, dir, INLINE_PAGE);
    region.pfnOf[i] = pfn;
    region.callOf[i] = ledger.sites.nextReservation();
    device.unmapPage = -1;
    return true;
  }

  /** A plain mapping of one page by a device that is not translated; false, with nothing changed, if it is not. */
  #mapDirect(device: DeviceShadow, addrBytes: number, dir: number): boolean {
    const page = addrBytes / 4096;
    if (page !== Math.floor(page) || page < 1 || page > device.limitPage || page >= device.frames)
      return false;
    const ledger = this.#ledger;
    const i = page & 511;
    const region = device.slots.elements(page);
    if (region.flagsOf[i] !== 0 || ledger.log.frames.state(page) === FRAME_FREE) return false;
    ledger.settle();
    region.used++;
    region.flagsOf[i] = LINKED | SYNCED | RESERVED;
    region.linkOf[i] = inlineLink(ledger.log.currentTask(), dir, INLINE_PAGE);
    region.callOf[i] = ledger.sites.nextReservation();
    return true;
  }

  /** An unmap of a plain mapping as it was made; false, with nothing changed, if it is not. */
  #unmapPlain(device: DeviceShadow, addrBytes: number, dir: number): boolean {
    const page = addrBytes / 4096;
    if (page !== Math.floor(page)) return false;
    const region = device.slots.find(regionOf(page));
    if (region === undefined || !region.split) return false;
    const i = page & 511;
    const usable = (device.translated ? PRESENT : 0) | LINKED | SYNCED | RESERVED;
    const link = region.linkOf[i]!;
    if (region.flagsOf[i] !== usable || link >= 0 || inlineKind(link) !== 'page' || inlineDir(link) !== dir)
      return false;
    if (device.translated) {
      // The page-table event that follows clears it; if it does not, the leaf is an orphan.
      region.flagsOf[i] = PRESENT | ORPHAN;
      device.unmapPage = page;
      device.unmapPages = 1;
    } else {
      region.flagsOf[i] = 0;
      region.used--;
      device.slots.release(regionOf(page), region);
    }
    return true;
  }

  /** What the slot of the address is mapped by, when that is a mapping of its own at this address; 0 otherwise. */
  #slotAt({ slots, mappings }: DeviceShadow): number {
    const { firstPage, addrBytes } = this.#op;
    if ((slots.flagsAt(firstPage) & LINKED) === 0) return 0;
    const link = slots.linkAt(firstPage);
    if (link < 0) return inlineKind(link) === 'page' && addrBytes === firstPage * 4096 ? link : 0;
    return mappings.kind(link) === 'page' && mappings.addrBytes(link) === addrBytes ? link : 0;
  }

  /** Of the mappings at this address, the one that fits best, as dma-debug chooses (bucket_find_contain). */
  #find(device: DeviceShadow): number {
    const op = this.#op;
    const { mappings } = device;
    let best = this.#slotAt(device);
    if (device.translated || best > 0) return best;
    let bestFit = -1;
    let bestCall = 0;
    if (best !== 0) {
      bestCall = device.slots.callAt(op.firstPage);
      bestFit =
        (op.sizeBytes === 4096 ? 4 : 0) + (inlineDir(best) === op.dir ? 2 : 0) + (op.attrs === 0 ? 1 : 0);
    }
    for (let id = device.mappingAt.get(op.addrBytes); id !== 0; id = mappings.next(id)) {
      let fit = 0;
      if (mappings.sizeBytes(id) === op.sizeBytes) fit += 4;
      if (mappings.dir(id) === op.dir) fit += 2;
      if (mappings.attrs(id) === op.attrs) fit++;
      // Of two that fit as well, the newer one.
      if (fit < bestFit || (fit === bestFit && mappings.call(id) < bestCall)) continue;
      best = id;
      bestFit = fit;
      bestCall = mappings.call(id);
    }
    return best;
  }

  /** The mapping is undone as it was made: no rule can object. */
  #fits({ mappings }: DeviceShadow, id: number): boolean {
    const { sizeBytes, dir, attrs } = this.#op;
    return mappings.sizeBytes(id) === sizeBytes && mappings.dir(id) === dir && mappings.attrs(id) === attrs;
  }

  #mapped(device: DeviceShadow): void {
    const op = this.#op;
    const { mappings, mappingAt, slots } = device;
    if (op.pages <= 0) return;
    const id = mappings.take();
    const call = this.#ledger.sites.nextReservation();
    mappings.fill(id, op, INLINE_PAGE, this.#ledger.log.currentTask(), call);
    if (op.bounced) mappings.setBounced(id);
    if (device.translated) {
      keepInline(device, op.firstPage, op.pages);
      linkSlots(slots, op.firstPage, op.pages, id, call);
      const set = op.bounced ? SYNCED | RESERVED | BOUNCED : SYNCED | RESERVED;
      changeFlags(slots, op.firstPage, op.pages, 0, set);
    } else {
      mappings.setNext(id, mappingAt.replace(op.addrBytes, id));
      device.rights.add(op.firstPage, op.pages, rightsOf(op.dir));
      countEdges(device, id, 1);
    }
    countFrames(this.#ledger.log.frames, device, id, 1);
  }

  #unmapped(device: DeviceShadow, id: number): void {
    const { mappings } = device;
    const firstPage = mappings.firstPage(id);
    const pages = mappings.pages(id);
    const bounced = mappings.bounced(id);
    if (device.translated) {
      this.#endSlots(device, firstPage, pages);
    } else {
      this.#unchain(device, id);
      device.rights.add(firstPage, pages, -rightsOf(mappings.dir(id)));
      countEdges(device, id, -1);
    }
    if (bounced) device.bounces.owe(this.#op.attrs);
    countFrames(this.#ledger.log.frames, device, id, -1);
    mappings.release(id);
  }

  #unchain({ mappings, mappingAt }: DeviceShadow, id: number): void {
    const addr = mappings.addrBytes(id);
    const next = mappings.next(id);
    const head = mappingAt.get(addr);
    if (head !== id) {
      let before = head;
      while (mappings.next(before) !== id) before = mappings.next(before);
      mappings.setNext(before, next);
    } else if (next !== 0) {
      mappingAt.set(addr, next);
    } else {
      mappingAt.delete(addr);
    }
  }

  #unmapInline(device: DeviceShadow): void {
    const { firstPage } = this.#op;
    if (device.translated) this.#endSlots(device, firstPage, 1);
    else changeFlags(device.slots, firstPage, 1, LINKED | SYNCED | RESERVED, 0);
  }

  /** What is still present is cleared by the page-table event that follows; what it leaves is an orphan. */
  #endSlots(device: DeviceShadow, firstPage: number, pages: number): void {
    changeFlagsWhere(device.slots, firstPage, pages, PRESENT, 0, ORPHAN);
    changeFlags(device.slots, firstPage, pages, LINKED | SYNCED | RESERVED | BOUNCED, 0);
    device.unmapPage = this.#op.firstPage;
    device.unmapPages = this.#op.pages;
  }
}

/** Note the first and the last page of a mapping that covers a part of these, or forget them. */
function countEdges({ edges, mappings }: DeviceShadow, id: number, delta: number): void {
  if (mappings.isWhole(id) || mappings.bounced(id)) return;
  const first = mappings.firstPage(id);
  const last = first + mappings.pages(id) - 1;
  edges.add(first, 1, delta);
  if (last !== first) edges.add(last, 1, delta);
}
