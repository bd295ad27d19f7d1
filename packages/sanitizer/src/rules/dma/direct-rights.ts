import { DMA_FROM_DEVICE, DMA_TO_DEVICE } from '@gpusvm/dma-iova';
import { type DeviceShadow, WRITES } from '../../shadow/device-shadow.ts';

/**
 * Live mappings of a page by a device that is not translated: those that allow reads, plus {@link WRITES} for each that
 * allows writes.
 */
export function directRights(device: DeviceShadow, page: number): number {
  const rights = device.rights.get(page);
  const inline = device.mappingAtPage(page);
  if (inline === null) return rights;
  return rights + (inline.dir === DMA_FROM_DEVICE ? 0 : 1) + (inline.dir === DMA_TO_DEVICE ? 0 : WRITES);
}
