import {
  DMA_FROM_DEVICE,
  DMA_MAPPING_ERROR,
  DMA_TO_DEVICE,
  type DmaMapEvent,
  type SwiotlbEvent,
} from '@gpusvm/dma-iova';
import type { DmaLedger } from '../ledger.ts';
import type { DmaOp } from '../op.ts';
import { type DeviceShadow, WRITES } from '../shadow/device-shadow.ts';
import { isPlainMap } from '../plain.ts';
import { BOUNCED, LINKED, ORPHAN, PRESENT, RESERVED, SYNCED } from '../shadow/slots.ts';

/** Follows the classic API (dma_map_page and relatives) and bounce slots. */
export class ClassicEvents {
  readonly #ledger: DmaLedger;
  readonly #op: DmaOp;

  constructor(ledger: DmaLedger) {
    this.#ledger = ledger;
    this.#op = ledger.op;
  }

  bounce(e: SwiotlbEvent): void {
    this.#ledger.shadow(e.device).newBounces.push(e.physBytes, e.slotBytes);
  }

  map(e: DmaMapEvent): void {
    const op = this.#decode(e);
    const { device } = op;
    op.physBytes = e.physBytes;
    op.err = e.dmaAddrBytes === DMA_MAPPING_ERROR ? -1 : 0;
    op.bounced = device.newBounces.length > 0;
    device.unmapPage = -1;
    if (op.err === 0) {
      if (!isPlainMap(device, op.firstPage, op.pages, e, this.#ledger.log.frames)) this.#ledger.run('map');
      this.#mapped(device);
    }
    if (op.bounced) device.newBounces.length = 0;
  }

  unmap(e: DmaMapEvent): void {
    const op = this.#decode(e);
    const { device } = op;
    op.mapping = this.#find(device);
    if (!this.#fits(device)) this.#ledger.run('unmap');
    device.unmapPage = -1;
    if (op.mapping !== 0) this.#unmapped(device, op.mapping);
  }

  #decode(e: DmaMapEvent): DmaOp {
    const op = this.#op;
    op.device = this.#ledger.shadow(e.device);
    op.reservation = 0;
    op.mapping = 0;
    op.addrBytes = e.dmaAddrBytes;
    op.sizeBytes = e.sizeBytes;
    op.dir = e.dir;
    op.attrs = e.attrs;
    op.firstPage = Math.floor(e.dmaAddrBytes / 4096);
    op.pages = Math.ceil((e.dmaAddrBytes + e.sizeBytes) / 4096) - op.firstPage;
    return op;
  }

  /** Of the mappings at this address, the one that fits best, as dma-debug chooses (bucket_find_contain). */
  #find(device: DeviceShadow): number {
    const op = this.#op;
    const { mappings } = device;
    let best = 0;
    let bestFit = -1;
    for (let id = device.mappingAt.get(op.addrBytes); id !== 0; id = mappings.next(id)) {
      let fit = 0;
      if (mappings.sizeBytes(id) === op.sizeBytes) fit += 4;
      if (mappings.dir(id) === op.dir) fit += 2;
      if (mappings.attrs(id) === op.attrs) fit++;
      if (fit <= bestFit) continue;
      best = id;
      bestFit = fit;
    }
    return best;
  }

  /** The mapping that was found is the very one: no rule can object. */
  #fits({ mappings }: DeviceShadow): boolean {
    const op = this.#op;
    const id = op.mapping;
    return (
      id !== 0 &&
      mappings.sizeBytes(id) === op.sizeBytes &&
      mappings.dir(id) === op.dir &&
      mappings.attrs(id) === op.attrs
    );
  }

  #mapped(device: DeviceShadow): void {
    const op = this.#op;
    const { mappings, mappingAt, slots } = device;
    if (op.pages <= 0) return;
    const id = mappings.take();
    mappings.fill(id, op.firstPage, op.pages, op, op.addrBytes, 0, this.#ledger.log.currentTask());
    if (op.bounced) mappings.setBounced(id);
    mappings.setNext(id, mappingAt.get(op.addrBytes));
    mappingAt.set(op.addrBytes, id);
    if (this.#ledger.captureSites) device.mappingSites[id] = this.#ledger.site();
    if (op.bounced) device.liveBounces++;
    if (device.translated) {
      slots.link(op.firstPage, op.pages, id);
      slots.change(op.firstPage, op.pages, 0, op.bounced ? SYNCED | RESERVED | BOUNCED : SYNCED | RESERVED);
    }
    this.#count(device, id, 1);
  }

  #unmapped(device: DeviceShadow, id: number): void {
    const { mappings, mappingAt, slots } = device;
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
    const first = mappings.firstPage(id);
    const pages = mappings.pages(id);
    if (device.translated) {
      // What is still present is cleared by the page-table event that follows; what it leaves is an orphan.
      slots.changeWhere(first, pages, PRESENT, 0, ORPHAN);
      slots.change(first, pages, LINKED | SYNCED | RESERVED | BOUNCED, 0);
      device.unmapPage = this.#op.firstPage;
      device.unmapPages = this.#op.pages;
    }
    if (mappings.bounced(id)) device.liveBounces--;
    this.#count(device, id, -1);
    mappings.release(id);
  }

  /** What a mapping adds to the counts by frame and, on a device that is not translated, by address. */
  #count(device: DeviceShadow, id: number, delta: number): void {
    const { mappings } = device;
    const { frames } = this.#ledger.log;
    const dir = mappings.dir(id);
    const bounced = mappings.bounced(id);
    const frame = Math.floor(mappings.physBytes(id) / 4096);
    const pages = mappings.pages(id);
    if (!device.translated) {
      const weight = (dir === DMA_FROM_DEVICE ? 0 : 1) + (dir === DMA_TO_DEVICE ? 0 : WRITES);
      device.rights.add(mappings.firstPage(id), pages, delta * weight);
    }
    if (bounced || !device.translated) frames.others.add(frame, pages, delta);
    if (device.maintains(dir, mappings.attrs(id), bounced)) frames.writers.add(frame, pages, delta);
  }
}
