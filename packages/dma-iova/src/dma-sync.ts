import { DMA_FROM_DEVICE, DMA_TO_DEVICE, type DmaDataDirection } from './attributes.ts';
import type { DmaDevice } from './device.ts';
import { C_CPU_SYNC } from './dma-counters.ts';
import { NO_PFN } from './physical-memory.ts';

/**
 * Let the CPU see what the device has written (dma_sync_single_for_cpu): cache maintenance on a device that does
 * not snoop, a copy out of the bounce slot on a bounced one, otherwise nothing. Never sleeps.
 */
export function dmaSyncSingleForCpu(
  dev: DmaDevice,
  dmaAddrBytes: number,
  sizeBytes: number,
  dir: DmaDataDirection,
): void {
  maintain(dev, dmaAddrBytes, sizeBytes);
  if (dev.trace.syncSingle.enabled) dev.trace.syncSingle.emit(dev, dmaAddrBytes, sizeBytes, dir, true);
  if (dir !== DMA_TO_DEVICE) copySlot(dev, dmaAddrBytes, true);
}

/** Let the device see what the CPU has written (dma_sync_single_for_device). Never sleeps. */
export function dmaSyncSingleForDevice(
  dev: DmaDevice,
  dmaAddrBytes: number,
  sizeBytes: number,
  dir: DmaDataDirection,
): void {
  if (dev.trace.syncSingle.enabled) dev.trace.syncSingle.emit(dev, dmaAddrBytes, sizeBytes, dir, false);
  if (dir !== DMA_FROM_DEVICE) copySlot(dev, dmaAddrBytes, false);
  maintain(dev, dmaAddrBytes, sizeBytes);
}

function maintain(dev: DmaDevice, dmaAddrBytes: number, sizeBytes: number): void {
  if (!dev.coherent) dev.counters[C_CPU_SYNC]! += Math.ceil(((dmaAddrBytes & 4095) + sizeBytes) / 4096);
}

function copySlot(dev: DmaDevice, dmaAddrBytes: number, forCpu: boolean): void {
  if (dev.swiotlb === null) return;
  const pad = dmaAddrBytes & 4095;
  let phys = dmaAddrBytes;
  if (dev.domain !== null) {
    const pfn = dev.domain.translate((dmaAddrBytes - pad) / 4096);
    if (pfn === NO_PFN) return;
    phys = pfn * 4096 + pad;
  }
  dev.swiotlb.sync(phys, forCpu);
}
