import {
  DMA_BIDIRECTIONAL,
  DMA_FROM_DEVICE,
  DMA_TO_DEVICE,
  type DmaDevice,
  type DmaFaultEvent,
} from '@gpusvm/dma-iova';
import type { DmaLedger } from '../ledger.ts';
import { QUICK } from '../quick.ts';
import type { DeviceShadow } from '../shadow/device-shadow.ts';
import { FRAME_FREE, FRAME_USED } from '../shadow/frames.ts';
import { inlineDir } from '../shadow/inline-link.ts';
import { regionOf } from '../shadow/region.ts';
import { LINKED, PRESENT, RESERVED, SYNCED } from '../shadow/slot-flags.ts';

// V8 folds a module's own constants, not imported ones (docs/decisions/0002-hot-paths.md).
const OWN_FRAME_FREE = FRAME_FREE;

/** Flags of a slot that a device may use. */
const USABLE = RESERVED | PRESENT | LINKED | SYNCED;

/** Follows what devices reach, and what becomes of physical pages and bounce slots. */
export class HardwareEvents {
  readonly #ledger: DmaLedger;

  constructor(ledger: DmaLedger) {
    this.#ledger = ledger;
  }

  access(dev: DmaDevice, addrBytes: number, access: 'read' | 'write', pfn: number): void {
    const ledger = this.#ledger;
    const device = ledger.enter(dev);
    const page = Math.floor(addrBytes / 4096);
    if (QUICK && this.#isPlain(device, page, access, pfn)) return;
    this.#about(device, page, addrBytes, access);
    ledger.op.pfn = pfn;
    ledger.op.byBus = device.busRights.get(page) !== 0 && pfn >= dev.memory.totalPages;
    ledger.run('access');
  }

  fault(e: DmaFaultEvent): void {
    const ledger = this.#ledger;
    ledger.settle();
    this.#about(ledger.shadow(e.device), Math.floor(e.dmaAddrBytes / 4096), e.dmaAddrBytes, e.access);
    ledger.op.reason = e.reason;
    ledger.run('fault');
  }

  bounced(name: string, physBytes: number): void {
    this.#ledger.settle();
    this.#ledger.shadow(name).bounces.take(physBytes);
  }

  unbounced(name: string, slotBytes: number, dir: number, attrs: number): void {
    const ledger = this.#ledger;
    ledger.settle();
    const device = ledger.shadow(name);
    const { bounces } = device;
    bounces.give(dir, attrs);
    if (bounces.owed === 0) return;
    // The unmap of a mapping of its own has said so before.
    bounces.owed--;
    if (bounces.uncopied > 0) {
      const { op } = ledger;
      op.device = device;
      op.reservation = 0;
      op.attrs = bounces.owedAttrs;
      op.firstPage = Math.floor(slotBytes / 4096);
      op.pages = 1;
      ledger.run('unbounce');
    }
    bounces.explained();
  }

  pageAlloc(pfn: number, pages: number): void {
    this.#ledger.settle();
    this.#ledger.log.frames.setState(pfn, pages, FRAME_USED);
  }

  pageFree(pfn: number, pages: number): void {
    const ledger = this.#ledger;
    const { op, log } = ledger;
    ledger.settle();
    op.reservation = 0;
    op.firstPage = pfn;
    op.pages = pages;
    ledger.run('pageFree');
    log.frames.setState(pfn, pages, OWN_FRAME_FREE);
    if (log.frames.declared) log.frames.buffer.set(pfn, pages, 0);
  }

  /** An access through a live, synced mapping that allows it. */
  #isPlain(device: DeviceShadow, page: number, access: 'read' | 'write', pfn: number): boolean {
    const region = device.slots.find(regionOf(page));
    if (region === undefined) return false;
    const i = page & 511;
    const { split } = region;
    if ((split ? region.flagsOf[i]! : region.flags) !== USABLE) return false;
    const link = split ? region.linkOf[i]! : region.link;
    const dir = link < 0 ? inlineDir(link) : device.mappings.dir(link);
    // Of a page that is mapped in part, the rest is nobody's.
    if (link > 0 && !device.mappings.isWhole(link)) return false;
    if (dir !== DMA_BIDIRECTIONAL && dir !== (access === 'read' ? DMA_TO_DEVICE : DMA_FROM_DEVICE))
      return false;
    if ((split ? region.pfnOf[i]! : region.pfn + i) !== pfn) return false;
    return this.#ledger.log.frames.state(pfn) !== OWN_FRAME_FREE;
  }

  #about(device: DeviceShadow, page: number, addrBytes: number, access: 'read' | 'write'): void {
    const { op } = this.#ledger;
    op.device = device;
    op.addrBytes = addrBytes;
    op.firstPage = page;
    op.pages = 1;
    op.write = access === 'write';
    op.mapping = device.mappingAtPage(page);
    op.reservation = op.mapping === null ? 0 : op.mapping.reservation;
  }
}
