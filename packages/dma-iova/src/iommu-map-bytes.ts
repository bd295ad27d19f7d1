import { EINVAL, ENXIO, type Errno } from '@gpusvm/kernel';
import { DMA_ATTR_MMIO, DMA_ATTR_SKIP_CPU_SYNC, type DmaDataDirection, dmaInfoToProt } from './attributes.ts';
import type { DmaDevice } from './device.ts';
import { C_CPU_SYNC } from './dma-counters.ts';

/**
 * @internal Map `[addr, addr + size)`, padded to pages on both sides, to `[phys, phys + size)`: the cache
 * maintenance and the byte-to-page rules that link and the classic path share.
 */
export function iommuMapBytes(
  dev: DmaDevice,
  addrBytes: number,
  physBytes: number,
  sizeBytes: number,
  dir: DmaDataDirection,
  attrs: number,
): Errno {
  const pad = physBytes & 4095;
  const pages = Math.ceil((sizeBytes + pad) / 4096);
  if (!dev.coherent && (attrs & (DMA_ATTR_SKIP_CPU_SYNC | DMA_ATTR_MMIO)) === 0)
    dev.counters[C_CPU_SYNC]! += pages;
  const prot = dmaInfoToProt(dir, dev.coherent, attrs);
  const start = addrBytes - pad;
  if ((start & 4095) !== 0) return unfitting(dev, prot, pages);
  if (pages === 0 && !dev.machine.profile.dma.linkSizeZeroInvalid) return 0;
  return dev.domain!.mapRange(start / 4096, (physBytes - pad) / 4096, pages, prot);
}

/** No page size fits, because the address is no multiple of a page: the errno depends on what is tested first. */
function unfitting(dev: DmaDevice, prot: number, pages: number): Errno {
  if ((prot & 3) === 0) return dev.domain!.mapRange(0, 0, 0, prot);
  if (pages === 0) return dev.machine.profile.dma.linkSizeZeroInvalid ? -EINVAL : 0;
  return dev.machine.profile.dma.pageTable === 'legacy' ? -EINVAL : -ENXIO;
}
