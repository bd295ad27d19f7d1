import { DMA_ATTR_MMIO, DMA_NONE, type DmaDevice, type ScatterList } from '@gpusvm/dma-iova';
import type { DmaLedger } from '../ledger.ts';
import type { DmaOp } from '../op.ts';
import { permission } from '../plain.ts';
import { QUICK } from '../quick.ts';
import type { DeviceShadow } from '../shadow/device-shadow.ts';
import { INLINE_LIST, inlineLink } from '../shadow/inline-link.ts';
import type { BusRange } from '../shadow/list-mapping.ts';
import { rightsOf } from '../shadow/rights.ts';
import { LINKED, ORPHAN, PRESENT, RESERVED, SYNCED } from '../shadow/slot-flags.ts';
import { linkSlots } from '../shadow/slot-mapping.ts';
import { changeFlags, changeFlagsWhere } from '../shadow/slot-ranges.ts';
import { visitSlots } from '../shadow/slot-visit.ts';
import { countFrames } from './count-frames.ts';
import { keepInline } from './keep-inline.ts';

/** Follows scatter lists of translated devices; those of others are mapped segment by segment. */
export class ListEvents {
  readonly #ledger: DmaLedger;
  readonly #op: DmaOp;

  constructor(ledger: DmaLedger) {
    this.#ledger = ledger;
    this.#op = ledger.op;
  }

  map(dev: DmaDevice, sg: ScatterList, dir: number, attrs: number): void {
    const ledger = this.#ledger;
    const device = ledger.enter(dev);
    if (sg.mapped > 0) {
      const bus = busRanges(sg);
      const range = device.translated && !sg.mappedEach ? ownRange(sg) : null;
      if (range !== null || bus.length > 0) {
        const call = ledger.sites.nextReservation();
        const task = ledger.log.currentTask();
        const { addrBytes, endBytes } = range ?? { addrBytes: 0, endBytes: 0 };
        const firstPage = device.pageAt(addrBytes);
        const pages = range === null ? 0 : this.#segments(device, sg, firstPage, dir, attrs, task, call);
        if (pages > 0) changeFlags(device.slots, firstPage, pages, 0, SYNCED | RESERVED);
        for (const at of bus) device.busRights.add(at.firstPage, at.pages, rightsOf(dir));
        const segments = sg.count;
        const older = device.lists.get(sg);
        if (older !== undefined) device.lostLists.push(older);
        device.lists.set(sg, {
          firstPage,
          pages,
          bus,
          addrBytes,
          endBytes,
          segments,
          dir,
          attrs,
          task,
          call,
        });
        device.unmapPage = -1;
      }
    }
    device.changes.reset();
  }

  unmap(dev: DmaDevice, sg: ScatterList, dir: number, attrs: number): void {
    const ledger = this.#ledger;
    const op = this.#op;
    const device = ledger.enter(dev);
    const list = device.lists.get(sg) ?? null;
    const range = device.translated && !sg.mappedEach ? ownRange(sg) : null;
    // Its segments have events of their own.
    if (list === null && range === null && sg.mapped > 0) return;
    op.device = device;
    op.reservation = 0;
    op.mapping = null;
    op.addrBytes = range === null ? 0 : range.addrBytes;
    op.sizeBytes = range === null ? 0 : range.endBytes - range.addrBytes;
    op.segments = sg.count;
    op.dir = dir;
    op.attrs = attrs;
    op.firstPage = device.pageAt(op.addrBytes);
    op.pages = device.pageBehind(op.addrBytes + op.sizeBytes) - op.firstPage;
    op.list = list;
    ledger.run('unmapList');
    device.unmapPage = -1;
    if (list === null) return;
    device.lists.delete(sg);
    for (const at of list.bus) device.busRights.add(at.firstPage, at.pages, -rightsOf(list.dir));
    if (list.pages === 0) return;
    this.#drop(device, list.firstPage, list.pages);
    device.unmapPage = op.firstPage;
    device.unmapPages = op.pages;
  }

  /** Enter every segment; returns pages in all. */
  #segments(
    device: DeviceShadow,
    sg: ScatterList,
    firstPage: number,
    dir: number,
    attrs: number,
    task: number,
    call: number,
  ): number {
    const { frames } = this.#ledger.log;
    const plain = QUICK && attrs === 0 && device.plain && !frames.declared && dir !== DMA_NONE;
    const { protAll, protAny } = device.changes;
    const rights = (protAll & 3) === permission(dir) && (protAny & 3) === permission(dir);
    let page = firstPage;
    for (let i = 0; i < sg.count; i++) {
      // Bus addresses take no part.
      if (sg.paddedBytes[i]! < 0) continue;
      const pages = sg.paddedBytes[i]! / 4096;
      const phys = sg.physBytes[i]!;
      const bytes = sg.lengthBytes[i]!;
      const peer = sg.provider[i] !== null;
      if (plain && !peer && bytes === 4096 && (phys & 4095) === 0) {
        const region = device.slots.elements(page);
        const at = page & 511;
        const pfn = phys / 4096;
        if (region.flagsOf[at] === PRESENT && region.pfnOf[at] === pfn && frames.firstFree(pfn, 1) < 0) {
          region.flagsOf[at] = PRESENT | LINKED;
          region.linkOf[at] = inlineLink(task, dir, INLINE_LIST);
          region.callOf[at] = call;
          page++;
          continue;
        }
      }
      const all = peer ? attrs | DMA_ATTR_MMIO : attrs;
      if (pages > 0) this.#segment(device, page, pages, phys, bytes, dir, all, task, call);
      page += pages;
    }
    const pages = page - firstPage;
    const { changes } = device;
    const more = changes.count > 0 && (changes.firstPage < firstPage || changes.endPage > page);
    if (
      !rights ||
      more ||
      firstPage < 1 ||
      page - 1 > device.limitPage ||
      device.touchesReserved(firstPage, pages)
    )
      this.#judge(device, firstPage, pages, dir);
    return pages;
  }

  #segment(
    device: DeviceShadow,
    page: number,
    pages: number,
    physBytes: number,
    sizeBytes: number,
    dir: number,
    attrs: number,
    task: number,
    call: number,
  ): void {
    const op = this.#op;
    op.device = device;
    op.reservation = 0;
    op.mapping = null;
    op.addrBytes = page * 4096 + device.offsetOf(physBytes);
    op.physBytes = physBytes;
    op.sizeBytes = sizeBytes;
    op.dir = dir;
    op.attrs = attrs;
    op.err = 0;
    op.bounced = false;
    op.firstPage = page;
    // Padding in front of a boundary is mapped with the segment before it.
    op.pages = pages;
    this.#ledger.run('mapSegment');
    const id = device.mappings.take();
    device.mappings.fill(id, op, INLINE_LIST, task, call);
    keepInline(device, page, pages);
    linkSlots(device.slots, page, pages, id, call);
    countFrames(this.#ledger.log.frames, device, id, 1);
  }

  /** Rules on addresses and permissions look at the whole range. */
  #judge(device: DeviceShadow, firstPage: number, pages: number, dir: number): void {
    this.#op.dir = dir;
    this.#op.err = 0;
    this.#op.bounced = false;
    this.#op.device = device;
    this.#op.reservation = 0;
    this.#op.firstPage = firstPage;
    this.#op.pages = pages;
    this.#ledger.run('mapList');
  }

  #drop(device: DeviceShadow, firstPage: number, pages: number): void {
    const { slots } = device;
    this.#release(device, firstPage, pages);
    // What is still present is cleared by the page-table event that follows; what it leaves is an orphan.
    changeFlagsWhere(slots, firstPage, pages, PRESENT, 0, ORPHAN);
    changeFlags(slots, firstPage, pages, LINKED | SYNCED | RESERVED, 0);
  }

  #release(device: DeviceShadow, firstPage: number, pages: number): void {
    const { mappings } = device;
    visitSlots(device.slots, firstPage, pages, (_page, n, flags, link) => {
      if ((flags & LINKED) === 0 || link <= 0 || mappings.kind(link) !== 'list') return;
      if (mappings.alive(link) > n) {
        mappings.drop(link, n);
        return;
      }
      countFrames(this.#ledger.log.frames, device, link, -1);
      mappings.release(link);
    });
  }
}

/** From the first to the last DMA address that the IOMMU translates. */
function ownRange(sg: ScatterList): { readonly addrBytes: number; readonly endBytes: number } | null {
  let addrBytes = -1;
  let endBytes = 0;
  for (let i = 0; i < sg.mapped; i++) {
    if (sg.dmaIsBus[i] === 1) continue;
    if (addrBytes < 0) addrBytes = sg.dmaAddrBytes[i]!;
    endBytes = sg.dmaAddrBytes[i]! + sg.dmaLengthBytes[i]!;
  }
  return addrBytes < 0 ? null : { addrBytes, endBytes };
}

function busRanges(sg: ScatterList): BusRange[] {
  const ranges: BusRange[] = [];
  for (let i = 0; i < sg.mapped; i++) {
    if (sg.dmaIsBus[i] !== 1) continue;
    const firstPage = Math.floor(sg.dmaAddrBytes[i]! / 4096);
    ranges.push({
      firstPage,
      pages: Math.ceil((sg.dmaAddrBytes[i]! + sg.dmaLengthBytes[i]!) / 4096) - firstPage,
    });
  }
  return ranges;
}
