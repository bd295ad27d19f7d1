import type { DmaDevice, DmaIovaApi, DmaIovaState } from '@gpusvm/dma-iova';
import type { DmaLedger } from '../ledger.ts';
import type { DmaOp } from '../op.ts';
import { isPlainUnlink } from '../plain.ts';
import { QUICK } from '../quick.ts';
import type { DeviceShadow } from '../shadow/device-shadow.ts';
import { inlineDir, inlineKind, inlineTask } from '../shadow/inline-link.ts';
import { LINKED, PRESENT, RESERVED, STALE, SYNCED } from '../shadow/slot-flags.ts';
import { changeFlags, levelFlags } from '../shadow/slot-ranges.ts';
import { visitSlots } from '../shadow/slot-visit.ts';
import { scanUnlink } from '../unlink-scan.ts';
import { dropLinks } from './drop-links.ts';

/** Follows the ends of links (dma_iova_unlink, and the unlinks inside of a destroy). */
export class UnlinkEvents {
  readonly #ledger: DmaLedger;
  readonly #op: DmaOp;

  constructor(ledger: DmaLedger) {
    this.#ledger = ledger;
    this.#op = ledger.op;
  }

  unlink(
    dev: DmaDevice,
    state: DmaIovaState,
    offsetBytes: number,
    sizeBytes: number,
    unmappedBytes: number,
    dir: number,
    attrs: number,
    api: DmaIovaApi,
  ): void {
    const ledger = this.#ledger;
    const op = this.#op;
    const device = ledger.shadowOf(dev);
    const start = state.addr + offsetBytes;
    op.device = device;
    op.reservation = device.reservation(state);
    op.state = state;
    op.addrBytes = state.addr;
    op.reservedBytes = state.size;
    op.offsetBytes = offsetBytes;
    op.sizeBytes = sizeBytes;
    op.unmappedBytes = unmappedBytes;
    op.dir = dir;
    op.attrs = attrs;
    op.api = api;
    op.judged = api === 'dma_iova_destroy' || api === 'dma_iova_with_holes_destroy';
    op.firstPage = device.pageAt(start);
    op.pages = device.pageBehind(start + sizeBytes) - op.firstPage;
    const plain = QUICK && isPlainUnlink(op);
    if (plain && this.#unlinkCleared(device)) return;
    op.clearedFirst = device.cleared.firstPage;
    op.clearedPages = device.cleared.pages;
    ledger.enter(dev);
    if (device.pending.length > 0) this.#missed(device, api);
    if (plain && this.#unlinkEach(device)) return;
    scanUnlink(op, ledger.log);
    ledger.run('unlink');
    this.#unlinked(device);
    device.bounces.explained();
  }

  /** An unlink returns after its invalidation, in lazy domains too; but for that of several runs, which comes later. */
  #missed(device: DeviceShadow, api: DmaIovaApi): void {
    const { op } = this.#ledger;
    const { destroyMode } = this.#ledger.machine.profile.dma;
    if (api === 'dma_iova_unlink_runs') return;
    if (api === 'dma_iova_destroy' && destroyMode === 'queued-mapped-len') return;
    device.pending.miss(op.firstPage, op.firstPage + op.pages);
  }

  /**
   * A plain unlink of just those slots that the page table has cleared, all of which are alike; false, with nothing
   * changed, when they are not.
   */
  #unlinkCleared(device: DeviceShadow): boolean {
    const { firstPage, pages, dir, reservation } = this.#op;
    const { cleared, mappings } = device;
    if (!device.cleanCleared || cleared.all !== cleared.any || cleared.present !== pages) return false;
    if (cleared.firstPage !== firstPage || cleared.pages !== pages) return false;
    const flags = cleared.all | SYNCED;
    if (flags !== (RESERVED | LINKED | SYNCED | STALE)) return false;
    const { link } = cleared;
    // Who unlinks what another task has not synced yet may race with it.
    const synced = (cleared.all & SYNCED) !== 0;
    if (link < 0) {
      if (inlineKind(link) !== 'link' || inlineDir(link) !== dir) return false;
      if (!synced && inlineTask(link) !== this.#ledger.log.currentTask()) return false;
    } else {
      if (link === 0 || mappings.dir(link) !== dir || mappings.attrs(link) !== 0) return false;
      if (mappings.reservation(link) !== reservation || mappings.pages(link) !== pages) return false;
      if (!synced && mappings.task(link) !== this.#ledger.log.currentTask()) return false;
      mappings.release(link);
    }
    device.reservations.linked[reservation]! -= pages;
    this.#ledger.cleaningDone(device);
    levelFlags(device.slots, firstPage, pages, RESERVED);
    return true;
  }

  /** A plain unlink of whole links; false, with nothing changed, when a rule might object. */
  #unlinkEach(device: DeviceShadow): boolean {
    const { firstPage, pages, dir, reservation } = this.#op;
    const { slots, mappings } = device;
    const end = firstPage + pages;
    const task = this.#ledger.log.currentTask();
    let fits = true;
    visitSlots(slots, firstPage, pages, (page, n, flags, link) => {
      if ((flags & (LINKED | PRESENT)) !== LINKED) fits = false;
      else if (link < 0) {
        if (inlineKind(link) !== 'link' || inlineDir(link) !== dir) fits = false;
        else if ((flags & SYNCED) === 0 && inlineTask(link) !== task) fits = false;
      } else {
        if ((flags & SYNCED) === 0 && mappings.task(link) !== task) fits = false;
        if (mappings.dir(link) !== dir || mappings.attrs(link) !== 0) fits = false;
        if (mappings.reservation(link) !== reservation) fits = false;
        const first = mappings.firstPage(link);
        if (first < firstPage || first + mappings.pages(link) > end || page < first) fits = false;
        if (n > mappings.pages(link)) fits = false;
      }
    });
    if (!fits) return false;
    visitSlots(slots, firstPage, pages, (_page, n, _flags, link) => {
      if (link > 0) mappings.drop(link, n);
    });
    device.reservations.linked[reservation]! -= pages;
    changeFlags(slots, firstPage, pages, LINKED | SYNCED, 0);
    return true;
  }

  #unlinked(device: DeviceShadow): void {
    const op = this.#op;
    if (op.linkedPages + op.foreignPages > 0)
      dropLinks(this.#ledger.log.frames, device, op.firstPage, op.pages);
    const { raggedEnd } = device.reservations;
    const ragged = raggedEnd[op.reservation]!;
    if (ragged > op.firstPage && ragged <= op.firstPage + op.pages) raggedEnd[op.reservation] = 0;
  }
}
