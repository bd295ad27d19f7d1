import { archSyncDmaForCpu, archSyncDmaForDevice } from './arch-sync-dma.ts';
import { DMA_FROM_DEVICE, DMA_TO_DEVICE, type DmaDataDirection } from './attributes.ts';
import type { DmaDevice } from './device.ts';
import { NO_PFN } from './physical-memory.ts';
import type { ScatterList } from './scatter-list.ts';

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
  if (dev.trace.syncSingle.enabled) dev.trace.syncSingle.emit(dev, dmaAddrBytes, sizeBytes, dir, true);
  const phys = physOf(dev, dmaAddrBytes);
  if (phys === NO_PFN) return;
  if (!dev.coherent) archSyncDmaForCpu(dev, phys, sizeBytes, dir);
  if (dir !== DMA_TO_DEVICE) dev.swiotlb?.sync(phys, sizeBytes, true);
}

/** Let the device see what the CPU has written (dma_sync_single_for_device). Never sleeps. */
export function dmaSyncSingleForDevice(
  dev: DmaDevice,
  dmaAddrBytes: number,
  sizeBytes: number,
  dir: DmaDataDirection,
): void {
  if (dev.trace.syncSingle.enabled) dev.trace.syncSingle.emit(dev, dmaAddrBytes, sizeBytes, dir, false);
  const phys = physOf(dev, dmaAddrBytes);
  if (phys === NO_PFN) return;
  if (dir !== DMA_FROM_DEVICE) dev.swiotlb?.sync(phys, sizeBytes, false);
  if (!dev.coherent) archSyncDmaForDevice(dev, phys, sizeBytes);
}

/** Let the CPU see what the device has written to a mapped scatter list (dma_sync_sg_for_cpu). Never sleeps. */
export function dmaSyncSgForCpu(dev: DmaDevice, sg: ScatterList, dir: DmaDataDirection): void {
  forEachMapped(dev, sg, (addr, length) => dmaSyncSingleForCpu(dev, addr, length, dir));
}

/** Let the device see what the CPU has written to a mapped scatter list (dma_sync_sg_for_device). Never sleeps. */
export function dmaSyncSgForDevice(dev: DmaDevice, sg: ScatterList, dir: DmaDataDirection): void {
  forEachMapped(dev, sg, (addr, length) => dmaSyncSingleForDevice(dev, addr, length, dir));
}

/** A bounced slot, or a page of it, is one physical piece; a joined segment is not: page by page. */
function forEachMapped(
  dev: DmaDevice,
  sg: ScatterList,
  fn: (dmaAddrBytes: number, lengthBytes: number) => void,
): void {
  if (dev.coherent && dev.swiotlb === null) return;
  for (let i = 0; i < sg.mapped; i++) {
    if (sg.dmaIsBus[i] === 1) continue;
    const end = sg.dmaAddrBytes[i]! + sg.dmaLengthBytes[i]!;
    for (let at = sg.dmaAddrBytes[i]!; at < end; ) {
      const next = dev.domain === null || sg.mappedEach ? end : Math.min(end, at - (at & 4095) + 4096);
      fn(at, next - at);
      at = next;
    }
  }
}

/** Physical address behind a DMA address; NO_PFN when nothing is mapped there. */
function physOf(dev: DmaDevice, dmaAddrBytes: number): number {
  if (dev.domain === null) return dmaAddrBytes;
  const pad = dmaAddrBytes & 4095;
  const pfn = dev.domain.translate((dmaAddrBytes - pad) / 4096);
  return pfn === NO_PFN ? NO_PFN : pfn * 4096 + pad;
}
