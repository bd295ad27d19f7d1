import { DMA_NONE } from '@gpusvm/dma-iova';
import type { DmaOp } from './op.ts';
import type { DeviceShadow } from './shadow/device-shadow.ts';
import type { Frames } from './shadow/frames.ts';
import { PRESENT, RESERVED } from './shadow/slot-flags.ts';

/** Permission bits (IOMMU_READ and IOMMU_WRITE) that a direction gives. */
export function permission(dir: number): number {
  // Bidirectional, to device, from device, none; two bits each.
  return (0b00_10_01_11 >>> (2 * dir)) & 3;
}

/** A reservation of addresses without any past. */
export function isPlainAlloc(device: DeviceShadow, firstPage: number, pages: number): boolean {
  if (firstPage < 1 || firstPage + pages - 1 > device.limitPage) return false;
  return device.slots.haveExactly(firstPage, pages, 0) && !device.touchesReserved(firstPage, pages);
}

/** A free of an empty reservation in its own length, with nothing left to invalidate. */
export function isPlainFree(op: DmaOp): boolean {
  const { device } = op;
  const { state, addrBytes, pages, linked, special } = device.reservations;
  const id = op.reservation;
  if (id === 0 || addrBytes[id] !== op.addrBytes || linked[id] !== 0 || pages[id] !== op.pages) return false;
  if (state[id] !== op.state || special[id] !== 0 || !device.plain) return false;
  return device.slots.haveExactly(op.firstPage, op.pages, RESERVED);
}

/** A link that no rule can object to. */
export function isPlainLink(op: DmaOp, frames: Frames): boolean {
  const { device } = op;
  const id = op.reservation;
  if (id === 0 || op.err !== 0 || op.attrs !== 0 || op.dir === DMA_NONE || op.sizeBytes <= 0) return false;
  const start = op.addrBytes + op.offsetBytes;
  if (((op.physBytes | start | op.sizeBytes) & 4095) !== 0 || frames.declared || !device.plain) return false;
  const { addrBytes, firstPage, pages, state, special } = device.reservations;
  if (addrBytes[id] !== op.addrBytes || state[id] !== op.state || special[id] !== 0) return false;
  const offset = op.firstPage - firstPage[id]!;
  if (offset < 0 || offset + op.pages > pages[id]!) return false;
  if (!isMappedAs(op) || !device.slots.haveExactly(op.firstPage, op.pages, RESERVED | PRESENT)) return false;
  return isOwnMemory(op, frames);
}

/** A range of memory that the device shares with the CPU, of which nothing is free. */
function isOwnMemory(op: DmaOp, frames: Frames): boolean {
  const { device } = op;
  const first = device.pageAt(op.physBytes);
  const count = device.framesOf(op.physBytes, op.sizeBytes);
  return first + count <= device.frames && frames.firstFree(first, count) < 0;
}

/** The page table has mapped, in one go, exactly what the call says. */
export function isMappedAs(op: DmaOp): boolean {
  const { changes } = op.device;
  return (
    changes.count === 1 &&
    changes.firstPage === op.firstPage &&
    changes.pages === op.pages &&
    changes.pfn * 4096 === op.physBytes - (op.physBytes & 4095) &&
    (changes.protAny & 3) === permission(op.dir)
  );
}

/** An unlink in which no rule objects to anything but the slots that it meets. */
export function isPlainUnlink(op: DmaOp): boolean {
  const { device } = op;
  const id = op.reservation;
  if (id === 0 || op.attrs !== 0 || op.sizeBytes <= 0 || !device.plain) return false;
  if (((op.addrBytes | op.offsetBytes | op.sizeBytes) & 4095) !== 0 || op.unmappedBytes !== op.sizeBytes)
    return false;
  const { addrBytes, firstPage, pages, state, special } = device.reservations;
  if (addrBytes[id] !== op.addrBytes || state[id] !== op.state || special[id] !== 0) return false;
  const { cleared } = device;
  if (cleared.firstPage !== op.firstPage || cleared.pages !== op.pages) return false;
  return op.firstPage >= firstPage[id]! && op.firstPage + op.pages <= firstPage[id]! + pages[id]!;
}

/** A mapping of pages that no rule can object to. */
export function isPlainMap(op: DmaOp, frames: Frames): boolean {
  const { device } = op;
  if (op.attrs !== 0 || op.pages <= 0 || frames.declared || !device.plain || op.firstPage < 1) return false;
  if (op.dir === DMA_NONE || op.firstPage + op.pages - 1 > device.limitPage) return false;
  if (device.translated) {
    if (!isMappedAs(op) || device.touchesReserved(op.firstPage, op.pages)) return false;
    if (!device.slots.haveExactly(op.firstPage, op.pages, PRESENT)) return false;
  } else if (op.addrBytes !== op.physBytes) return false;
  return isOwnMemory(op, frames);
}

/** A mapping that is bounced as a whole and writes to memory that no other one does, by a device without IOMMU. */
export function isPlainBounce(op: DmaOp, frames: Frames): boolean {
  const { device } = op;
  if (!op.bounced || device.translated || op.attrs !== 0 || op.pages <= 0 || frames.declared) return false;
  if (op.dir === DMA_NONE || op.firstPage < 1 || op.firstPage + op.pages - 1 > device.limitPage) return false;
  const frame = device.pageAt(op.physBytes);
  const count = device.framesOf(op.physBytes, op.sizeBytes);
  return isOwnMemory(op, frames) && frames.writers.firstNonZero(frame, count) < 0;
}
