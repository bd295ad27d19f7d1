import type { DmaDevice } from './device.ts';
import { granulePages, iovaOffset } from './iova-granule.ts';

/**
 * An IOVA reservation as its owner holds it (struct dma_iova_state). The bit that the kernel hides in the size is
 * the field {@link swiotlb}.
 */
export class DmaIovaState {
  /** DMA address in bytes, with the page offset of the first range. */
  addr = 0;
  /** Requested size in bytes; 0 = unused (`__size` without its flag bit). */
  size = 0;
  /** At least one range was bounced (DMA_IOVA_USE_SWIOTLB). */
  swiotlb = false;
}

/** Whether a reservation is in use (dma_use_iova). */
export function dmaUseIova(state: DmaIovaState): boolean {
  return state.size !== 0;
}

/** Pages of a reservation of a device with 4 KiB granules: the requested size plus its page offset, rounded up. */
export function dmaIovaPages(state: DmaIovaState): number {
  return Math.ceil(((state.addr & 4095) + state.size) / 4096);
}

/** @internal 4 KiB pages of a reservation, in whole granules of its device. */
export function reservedPages(dev: DmaDevice, state: DmaIovaState): number {
  return dev.granulePages === 1
    ? dmaIovaPages(state)
    : granulePages(dev, iovaOffset(dev, state.addr) + state.size);
}
