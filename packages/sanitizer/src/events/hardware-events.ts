import type { DmaAccessEvent, DmaFaultEvent, PageBlockEvent } from '@gpusvm/dma-iova';
import type { DmaLedger } from '../ledger.ts';
import type { DmaOp } from '../op.ts';
import { isPlainAccess } from '../plain.ts';
import { FRAME_FREE, FRAME_USED } from '../shadow/frames.ts';
import { LINKED } from '../shadow/slots.ts';

/** Follows what devices reach and what becomes of physical pages. */
export class HardwareEvents {
  readonly #ledger: DmaLedger;
  readonly #op: DmaOp;

  constructor(ledger: DmaLedger) {
    this.#ledger = ledger;
    this.#op = ledger.op;
  }

  access(e: DmaAccessEvent): void {
    const device = this.#ledger.shadow(e.device);
    if (isPlainAccess(device, Math.floor(e.dmaAddrBytes / 4096), e, this.#ledger.log.frames)) return;
    this.#decode(e);
    this.#op.pfn = e.pfn;
    this.#ledger.run('access');
  }

  fault(e: DmaFaultEvent): void {
    this.#decode(e);
    this.#op.reason = e.reason;
    this.#ledger.run('fault');
  }

  pageAlloc(e: PageBlockEvent): void {
    this.#ledger.log.frames.state.set(e.pfn, e.pages, FRAME_USED);
  }

  pageFree(e: PageBlockEvent): void {
    const op = this.#op;
    op.reservation = 0;
    op.firstPage = e.pfn;
    op.pages = e.pages;
    this.#ledger.run('pageFree');
    this.#ledger.log.frames.state.set(e.pfn, e.pages, FRAME_FREE);
    this.#ledger.log.frames.buffer.set(e.pfn, e.pages, 0);
  }

  #decode(e: DmaAccessEvent | DmaFaultEvent): void {
    const op = this.#op;
    const device = this.#ledger.shadow(e.device);
    op.device = device;
    op.addrBytes = e.dmaAddrBytes;
    op.firstPage = Math.floor(e.dmaAddrBytes / 4096);
    op.pages = 1;
    op.write = e.access === 'write';
    op.mapping = 0;
    op.reservation = 0;
    if ((device.slots.flagsAt(op.firstPage) & LINKED) === 0) return;
    op.mapping = device.slots.linkAt(op.firstPage);
    op.reservation = device.mappings.reservation(op.mapping);
  }
}
