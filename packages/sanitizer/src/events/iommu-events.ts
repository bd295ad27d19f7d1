import type { IommuMapEvent, IommuUnmapEvent, IotlbInvalidateEvent } from '@gpusvm/dma-iova';
import type { DmaLedger } from '../ledger.ts';
import type { DmaOp } from '../op.ts';
import type { DeviceShadow } from '../shadow/device-shadow.ts';
import { PRESENT, STALE } from '../shadow/slots.ts';

/** Follows the page table and its invalidations. */
export class IommuEvents {
  readonly #ledger: DmaLedger;
  readonly #op: DmaOp;

  constructor(ledger: DmaLedger) {
    this.#ledger = ledger;
    this.#op = ledger.op;
  }

  map(e: IommuMapEvent): void {
    const device = this.#ledger.shadow(e.device);
    const firstPage = e.iovaBytes / 4096;
    const pages = e.sizeBytes / 4096;
    const pfn = e.physBytes / 4096;
    device.sawMap = true;
    this.#ledger.log.frames.leaves.add(pfn, pages, 1);
    device.tables.map(firstPage, pages, pfn);
    // Only present or stale entries are of interest to any rule.
    if (pages === 1 && (device.slots.mapOne(firstPage, pfn, PRESENT | STALE) & (PRESENT | STALE)) === 0)
      return;
    if ((device.slots.anyFlags(firstPage, pages) & (PRESENT | STALE)) !== 0) {
      const op = this.#op;
      op.device = device;
      op.reservation = 0;
      op.firstPage = firstPage;
      op.pages = pages;
      op.pfn = pfn;
      this.#ledger.run('iommuMap');
    }
    device.slots.map(firstPage, pages, pfn);
  }

  unmap(e: IommuUnmapEvent): void {
    const op = this.#op;
    const device = this.#ledger.shadow(e.device);
    op.device = device;
    op.reservation = 0;
    op.firstPage = e.iovaBytes / 4096;
    op.pages = e.sizeBytes / 4096;
    op.sizeBytes = e.sizeBytes;
    op.unmappedBytes = e.unmappedBytes;
    let cleared = e.unmappedBytes / 4096;
    // A walk that steps over holes reports a sum, every other one a prefix.
    if (e.overHoles) cleared = op.pages;
    op.presentPages = device.slots.unmap(op.firstPage, cleared, this.#ledger.log.frames.leaves);
    if (op.presentPages > 0) device.pending.add(op.firstPage, cleared);
    device.tables.unmap(op.firstPage, cleared);
    // Rules object to unmaps that cleared more than was mapped, or another length than asked.
    const plain = op.presentPages === op.pages && op.unmappedBytes === op.sizeBytes;
    if (!e.overHoles && !plain) this.#ledger.run('iommuUnmap');
    device.unmapPage = -1;
  }

  invalidate(e: IotlbInvalidateEvent): void {
    const device = this.#ledger.shadow(e.device);
    if (e.kind === 'domain') {
      device.pending.clear((page, pages) => clean(device, page, pages));
      device.tables.clear();
      return;
    }
    const first = e.iovaBytes / 4096;
    const end = first + (e.order < 31 ? 1 << e.order : 2 ** e.order);
    if (device.pending.length > 0) device.pending.invalidate(first, end, (page, n) => clean(device, page, n));
    if (device.tables.waiting === 0) return;
    const kept = device.tables.invalidate(first, end, e.leafOnly, device.lazy);
    if (kept < 0) return;
    const op = this.#op;
    op.device = device;
    op.reservation = 0;
    op.firstPage = kept;
    op.pages = 512;
    op.leafOnly = true;
    this.#ledger.run('invalidate');
  }
}

function clean(device: DeviceShadow, page: number, pages: number): void {
  device.slots.change(page, pages, STALE, 0);
}
