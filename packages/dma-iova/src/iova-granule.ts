import type { DmaDevice } from './device.ts';

/**
 * Bytes of `addressBytes` beyond the IOMMU granule that holds it (iova_offset). The granule is the smallest page of
 * the device's domain: 4 KiB on x86, 4, 16 or 64 KiB on Arm.
 */
export function iovaOffset(dev: DmaDevice, addressBytes: number): number {
  return addressBytes & (dev.granuleBytes - 1);
}

/** 4 KiB pages of the whole granules that `bytes` need (iova_align). */
export function granulePages(dev: DmaDevice, bytes: number): number {
  return Math.ceil(bytes / dev.granuleBytes) * dev.granulePages;
}
