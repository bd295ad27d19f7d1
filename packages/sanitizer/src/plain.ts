import {
  DMA_BIDIRECTIONAL,
  DMA_FROM_DEVICE,
  DMA_NONE,
  DMA_TO_DEVICE,
  type DmaAccessEvent,
  type DmaIovaLinkEvent,
  type DmaMapEvent,
} from '@gpusvm/dma-iova';
import type { DeviceShadow } from './shadow/device-shadow.ts';
import type { DmaOp } from './op.ts';
import type { Findings } from './rule.ts';
import { FRAME_FREE, type Frames } from './shadow/frames.ts';
import { LINKED, PRESENT, RESERVED, STALE, SYNCED } from './shadow/slots.ts';

/*
 * Almost every call is plain: whole pages, no attributes, fresh slots. For these the questions of all rules have one
 * common answer, found here in a few loads; the rules themselves are asked about everything else. A test runs the
 * same programs both ways.
 */

/** A reservation of addresses without any past. */
export function isPlainAlloc(device: DeviceShadow, firstPage: number, pages: number): boolean {
  if (firstPage < 1 || firstPage + pages - 1 > device.limitPage) return false;
  return device.slots.haveExactly(firstPage, pages, 0) && !device.touchesReserved(firstPage, pages);
}

/** A sync inside its own reservation. */
export function isPlainSync(op: DmaOp): boolean {
  const { addrBytes, firstPage, pages } = op.device.reservations;
  const id = op.reservation;
  if (id === 0 || addrBytes[id] !== op.addrBytes) return false;
  return op.firstPage >= firstPage[id]! && op.firstPage + op.pages <= firstPage[id]! + pages[id]!;
}

/** A free of an empty reservation in its own length, with nothing left to invalidate. */
export function isPlainFree(op: DmaOp): boolean {
  const { addrBytes, pages, linked } = op.device.reservations;
  const id = op.reservation;
  if (id === 0 || addrBytes[id] !== op.addrBytes || linked[id] !== 0 || pages[id] !== op.pages) return false;
  return (op.device.slots.anyFlags(op.firstPage, op.pages) & STALE) === 0;
}

/** A link that no rule can object to, its slots apart. */
export function isPlainLink(device: DeviceShadow, id: number, e: DmaIovaLinkEvent, frames: Frames): boolean {
  if (
    id === 0 ||
    e.err !== 0 ||
    e.attrs !== 0 ||
    e.dir === DMA_NONE ||
    e.sizeBytes <= 0 ||
    e.reservedBytes === 0
  )
    return false;
  const start = e.addrBytes + e.offsetBytes;
  if (((e.physBytes | start | e.sizeBytes) & 4095) !== 0 || frames.declared || !device.plain) return false;
  const { addrBytes, pages, raggedEnd } = device.reservations;
  if (addrBytes[id] !== e.addrBytes || raggedEnd[id] !== 0) return false;
  // On pages all the way, or the address would have an offset.
  if (e.offsetBytes < 0 || e.offsetBytes + e.sizeBytes > pages[id]! * 4096) return false;
  return frames.state.firstEqual(e.physBytes / 4096, e.sizeBytes / 4096, FRAME_FREE) < 0;
}

/** A device access through a live, synced mapping that allows it. */
export function isPlainAccess(
  device: DeviceShadow,
  page: number,
  e: DmaAccessEvent,
  frames: Frames,
): boolean {
  if (device.slots.flagsAt(page) !== (RESERVED | PRESENT | LINKED | SYNCED)) return false;
  const dir = device.mappings.dir(device.slots.linkAt(page));
  if (dir !== DMA_BIDIRECTIONAL && dir !== (e.access === 'read' ? DMA_TO_DEVICE : DMA_FROM_DEVICE))
    return false;
  return device.slots.pfnAt(page) === e.pfn && frames.state.get(e.pfn) !== FRAME_FREE;
}

/** A classic mapping of pages that no rule can object to. */
export function isPlainMap(
  device: DeviceShadow,
  first: number,
  pages: number,
  e: DmaMapEvent,
  frames: Frames,
): boolean {
  if (e.attrs !== 0 || pages <= 0 || frames.declared || !device.plain || first < 1) return false;
  if (device.device === null || first + pages - 1 > device.limitPage) return false;
  if (
    device.translated &&
    (!device.slots.haveExactly(first, pages, PRESENT) || device.touchesReserved(first, pages))
  )
    return false;
  return frames.state.firstEqual(Math.floor(e.physBytes / 4096), pages, FRAME_FREE) < 0;
}

/** An unlink of whole links of one reservation, with their direction, that the page table did in full. */
export function isPlainUnlink(op: DmaOp, found: Findings): boolean {
  const { device } = op;
  const id = op.reservation;
  if (id === 0 || op.attrs !== 0 || op.sizeBytes <= 0 || !device.plain) return false;
  if (((op.addrBytes | op.offsetBytes | op.sizeBytes) & 4095) !== 0 || op.unmappedBytes !== op.sizeBytes)
    return false;
  const { addrBytes, raggedEnd } = device.reservations;
  if (addrBytes[id] !== op.addrBytes || raggedEnd[id] !== 0) return false;
  const { slots, mappings } = device;
  const end = op.firstPage + op.pages;
  const task = found.machine.scheduler.current?.id ?? 0;
  let known = 0;
  for (let page = op.firstPage; page < end; ) {
    const elements = slots.elements(page);
    const stop = elements === null ? Math.min(end, page - (page & 511) + 512) : page + 1;
    const flags = elements === null ? slots.flagsAt(page) : elements.flagsOf[page & 511]!;
    const link = elements === null ? slots.linkAt(page) : elements.linkOf[page & 511]!;
    if ((flags & (LINKED | PRESENT)) !== LINKED) return false;
    if ((flags & SYNCED) === 0 && mappings.task(link) !== task) return false;
    if (link !== known) {
      if (mappings.dir(link) !== op.dir || mappings.attrs(link) !== 0 || mappings.reservation(link) !== id)
        return false;
      const first = mappings.firstPage(link);
      if (first < op.firstPage || first + mappings.pages(link) > end) return false;
      known = link;
    }
    page = stop;
  }
  return true;
}
