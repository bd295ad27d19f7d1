import { DMA_ATTR_MMIO, DMA_ATTR_SKIP_CPU_SYNC, DMA_TO_DEVICE, type DmaDataDirection } from './attributes.ts';
import type { DmaDevice } from './device.ts';
import { C_CPU_SYNC } from './dma-counters.ts';

/** Whether mappings with these attributes need CPU cache maintenance: the device does not snoop. */
export function needsCacheMaintenance(dev: DmaDevice, attrs: number): boolean {
  return !dev.coherent && (attrs & (DMA_ATTR_SKIP_CPU_SYNC | DMA_ATTR_MMIO)) === 0;
}

/** Write the CPU caches of a physical range back, in every direction (arch_sync_dma_for_device of arm64). */
export function archSyncDmaForDevice(dev: DmaDevice, physBytes: number, sizeBytes: number): void {
  const pages = Math.ceil(((physBytes & 4095) + sizeBytes) / 4096);
  dev.counters[C_CPU_SYNC]! += pages;
  dev.dram?.clean(Math.floor(physBytes / 4096), pages);
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
