import { DMA_ATTR_MMIO, DMA_ATTR_SKIP_CPU_SYNC, DMA_TO_DEVICE, type DmaDataDirection } from './attributes.ts';
import type { DmaDevice } from './device.ts';
import { C_CPU_SYNC } from './dma-counters.ts';

/** Whether mappings with these attributes need CPU cache maintenance: the device does not snoop. */
export function needsCacheMaintenance(dev: DmaDevice, attrs: number): boolean {
  return !dev.coherent && (attrs & (DMA_ATTR_SKIP_CPU_SYNC | DMA_ATTR_MMIO)) === 0;
}

/**
 * Write the CPU caches of a physical range back, in every direction (arch_sync_dma_for_device of arm64).
 *
 * @param deferFlush - leave the barrier to {@link archSyncDmaFlush}.
 */
export function archSyncDmaForDevice(
  dev: DmaDevice,
  physBytes: number,
  sizeBytes: number,
  deferFlush = false,
): void {
  const pages = Math.ceil(((physBytes & 4095) + sizeBytes) / 4096);
  dev.counters[C_CPU_SYNC]! += pages;
  const pfn = Math.floor(physBytes / 4096);
  if (deferFlush) dev.dram?.cleanLater(pfn, pages);
  else dev.dram?.clean(pfn, pages);
}

/** Wait until what was cleaned has reached memory (arch_sync_dma_flush, 7.3). */
export function archSyncDmaFlush(dev: DmaDevice): void {
  dev.dram?.flush();
}

/** Invalidate the CPU caches of a physical range that the device may have written (arch_sync_dma_for_cpu). */
export function archSyncDmaForCpu(
  dev: DmaDevice,
  physBytes: number,
  sizeBytes: number,
  dir: DmaDataDirection,
): void {
  if (dir === DMA_TO_DEVICE) return;
  const pages = Math.ceil(((physBytes & 4095) + sizeBytes) / 4096);
  dev.counters[C_CPU_SYNC]! += pages;
  dev.dram?.invalidate(Math.floor(physBytes / 4096), pages);
}
