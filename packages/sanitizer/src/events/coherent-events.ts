import {
  type CoherentBuffer,
  DMA_ATTR_SKIP_CPU_SYNC,
  DMA_BIDIRECTIONAL,
  type DmaDevice,
} from '@gpusvm/dma-iova';
import type { DmaLedger } from '../ledger.ts';
import type { DmaOp } from '../op.ts';
import type { DeviceShadow } from '../shadow/device-shadow.ts';
import { COHERENT } from '../shadow/inline-link.ts';
import { rightsOf } from '../shadow/rights.ts';
import { LINKED, ORPHAN, PRESENT, RESERVED, SYNCED } from '../shadow/slot-flags.ts';
import { linkSlots } from '../shadow/slot-mapping.ts';
import { changeFlags, changeFlagsWhere } from '../shadow/slot-ranges.ts';
import { countFrames } from './count-frames.ts';
import { keepInline } from './keep-inline.ts';

const RIGHTS = rightsOf(DMA_BIDIRECTIONAL);

/** Follows coherent memory (dma_alloc_coherent). */
export class CoherentEvents {
  readonly #ledger: DmaLedger;
  readonly #op: DmaOp;

  constructor(ledger: DmaLedger) {
    this.#ledger = ledger;
    this.#op = ledger.op;
  }

  alloc(dev: DmaDevice, buffer: CoherentBuffer): void {
    const ledger = this.#ledger;
    const op = this.#op;
    const device = ledger.enter(dev);
    const call = ledger.sites.nextReservation();
    const task = ledger.log.currentTask();
    const first = Math.floor(buffer.dmaAddrBytes / 4096);
    op.device = device;
    op.reservation = 0;
    op.mapping = null;
    op.dir = DMA_BIDIRECTIONAL;
    // Neither maintained nor copied.
    op.attrs = DMA_ATTR_SKIP_CPU_SYNC;
    op.err = 0;
    op.bounced = false;
    op.firstPage = first;
    op.pages = buffer.pages;
    if (device.translated) ledger.run('mapList');
    const records: number[] = [];
    let page = first;
    for (const { pfn, order } of buffer.blocks) {
      const pages = Math.min(2 ** order, first + buffer.pages - page);
      op.firstPage = page;
      op.pages = pages;
      op.addrBytes = page * 4096;
      op.physBytes = pfn * 4096;
      op.sizeBytes = pages * 4096;
      if (device.translated) ledger.run('mapSegment');
      records.push(this.#block(device, task, call));
      page += pages;
    }
    device.coherent.set(buffer, records);
    device.changes.reset();
  }

  free(dev: DmaDevice, buffer: CoherentBuffer): void {
    const ledger = this.#ledger;
    const op = this.#op;
    const device = ledger.enter(dev);
    const records = device.coherent.get(buffer);
    op.device = device;
    op.reservation = 0;
    op.mapping = null;
    op.firstPage = Math.floor(buffer.dmaAddrBytes / 4096);
    op.pages = buffer.pages;
    device.unmapPage = -1;
    if (records === undefined) {
      ledger.run('freeCoherent');
      return;
    }
    device.coherent.delete(buffer);
    for (const id of records) this.#drop(device, id);
    device.unmapPage = op.firstPage;
    device.unmapPages = op.pages;
  }

  #block(device: DeviceShadow, task: number, call: number): number {
    const op = this.#op;
    const id = device.mappings.take();
    device.mappings.fill(id, op, COHERENT, task, call);
    if (device.translated) {
      keepInline(device, op.firstPage, op.pages);
      linkSlots(device.slots, op.firstPage, op.pages, id, call);
      changeFlags(device.slots, op.firstPage, op.pages, 0, SYNCED | RESERVED);
    } else {
      device.rights.add(op.firstPage, op.pages, RIGHTS);
    }
    countFrames(this.#ledger.log.frames, device, id, 1);
    return id;
  }

  #drop(device: DeviceShadow, id: number): void {
    const { mappings, slots } = device;
    const first = mappings.firstPage(id);
    const pages = mappings.pages(id);
    if (device.translated) {
      changeFlagsWhere(slots, first, pages, PRESENT, 0, ORPHAN);
      changeFlags(slots, first, pages, LINKED | SYNCED | RESERVED, 0);
    } else {
      device.rights.add(first, pages, -RIGHTS);
    }
    countFrames(this.#ledger.log.frames, device, id, -1);
    mappings.release(id);
  }
}
