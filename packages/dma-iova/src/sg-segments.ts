import { EOVERFLOW, EREMOTEIO } from '@gpusvm/kernel';
import type { DmaDevice } from './device.ts';
import { granulePages, iovaOffset } from './iova-granule.ts';
import { p2pdmaBusAddr, p2pdmaMapType } from './p2pdma.ts';
import type { ScatterList } from './scatter-list.ts';

/** Lengths in a scatter list are unsigned int. */
const LENGTH_LIMIT = 2 ** 32;

/** Padded length of a segment that is a bus address. */
export const NOT_IN_IOVA: -1 = -1;

/**
 * Lay the segments of a list out in one IOVA: whole granules, and a gap where a segment would cross the device's
 * segment boundary. The gap is mapped as part of the segment before it, so that one unmap finds no hole. Bus-address
 * segments take no part.
 *
 * @returns bytes in all; negative: -EREMOTEIO for peer memory that the device cannot reach, -EOVERFLOW for a length
 *   that does not fit into the list's 32 bits.
 */
export function layOut(dev: DmaDevice, sg: ScatterList): number {
  const boundary = dev.segmentBoundaryBytes;
  let total = 0;
  let previous = -1;
  for (let i = 0; i < sg.count; i++) {
    const type = p2pdmaMapType(sg.provider[i]!, dev.p2p);
    if (type === 'not-supported') return -EREMOTEIO;
    if (type === 'bus-addr') {
      sg.paddedBytes[i] = NOT_IN_IOVA;
      continue;
    }
    const length = granulePages(dev, sg.lengthBytes[i]! + iovaOffset(dev, sg.physBytes[i]!)) * 4096;
    const gap = (boundary - (total % boundary)) % boundary;
    // The kernel's length - 1 is unsigned: before a segment of length 0 every gap is padded.
    if (previous >= 0 && gap !== 0 && (length === 0 || gap < length - 1)) {
      sg.paddedBytes[previous]! += gap;
      if (sg.paddedBytes[previous]! >= LENGTH_LIMIT) return -EOVERFLOW;
      total += gap;
    }
    if (length >= LENGTH_LIMIT) return -EOVERFLOW;
    sg.paddedBytes[i] = length;
    total += length;
    previous = i;
  }
  return total;
}

/**
 * Turn the segments into DMA segments (__finalise_sg): those that follow one another in the IOVA are joined when
 * the later one starts without an offset, not at a segment boundary, and the sum stays below the device's maximum. What
 * is left below it is an unsigned 32-bit number there: behind a segment that alone is longer, everything joins.
 */
export function finalise(dev: DmaDevice, sg: ScatterList, baseBytes: number): void {
  let addr = baseBytes;
  let length = 0;
  for (let i = 0; i < sg.count; i++) {
    const bytes = sg.lengthBytes[i]!;
    const padded = sg.paddedBytes[i]!;
    if (padded === NOT_IN_IOVA) {
      sg.emit(p2pdmaBusAddr(sg.provider[i]!, sg.physBytes[i]!), bytes, true);
      length = 0;
      continue;
    }
    const offset = iovaOffset(dev, sg.physBytes[i]!);
    const crosses = addr % dev.segmentBoundaryBytes === 0;
    if (length !== 0 && offset === 0 && !crosses && (dev.maxSegmentBytes - length) >>> 0 >= bytes) {
      length += bytes;
      sg.dmaLengthBytes[sg.mapped - 1] = length;
    } else {
      sg.emit(addr + offset, bytes, false);
      length = bytes;
    }
    addr += padded;
    if (offset + bytes < padded) length = 0;
  }
}
