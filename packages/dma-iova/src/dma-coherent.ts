import type { Pfn } from '@gpusvm/kernel';
import {
  DMA_ATTR_ALLOC_SINGLE_PAGES,
  DMA_ATTR_FORCE_CONTIGUOUS,
  DMA_BIDIRECTIONAL,
  dmaInfoToProt,
} from './attributes.ts';
import { MAX_PAGE_ORDER } from './buddy.ts';
import { CoherentBuffer, type PageBlock } from './coherent-buffer.ts';
import type { DmaDevice } from './device.ts';
import { iommuDmaUnmap } from './dma-map.ts';
import { syncMapOrUnmap } from './iommu-map-bytes.ts';
import { granulePages } from './iova-granule.ts';
import { NO_PFN } from './physical-memory.ts';

/**
 * Allocate memory that CPU and device see alike at any time (dma_alloc_coherent; iommu_dma_alloc of
 * drivers/iommu/dma-iommu.c, dma_direct_alloc of kernel/dma/direct.c, 7.3). Zeroed.
 *
 * A translated device gets pages of the largest leaf sizes to be had, scattered, behind one IOVA; otherwise, and with
 * DMA_ATTR_FORCE_CONTIGUOUS, they are one block of a power of two. A device that does not snoop gets them uncached.
 * Never bounced, whatever the mode.
 *
 * Does not sleep: as with GFP_ATOMIC there is no reclaim. One block allocation a piece, one walk a piece, one sync.
 *
 * @param sizeBytes - rounded up to pages, and to the device's granules.
 * @param attrs - DMA_ATTR_FORCE_CONTIGUOUS, DMA_ATTR_ALLOC_SINGLE_PAGES, DMA_ATTR_PRIVILEGED.
 * @returns null when memory, IOVA space below the coherent mask, or a table page is missing, when a direct device does
 *   not reach the block, or (warned about once) when the device has no coherent mask. Then nothing is left.
 */
export function dmaAllocCoherent(dev: DmaDevice, sizeBytes: number, attrs = 0): CoherentBuffer | null {
  if (!(sizeBytes > 0)) throw new RangeError(`dmaAllocCoherent: size ${sizeBytes} bytes`);
  if (dev.coherentLimitPage < 0) {
    dev.machine.warnOnce('dma_alloc_attrs: mask', `${dev.name}: the coherent mask is not set`);
    return null;
  }
  const pages = granulePages(dev, sizeBytes);
  const contiguous = dev.domain === null || (attrs & DMA_ATTR_FORCE_CONTIGUOUS) !== 0;
  const blocks = contiguous ? oneBlock(dev, pages) : scatteredBlocks(dev, pages, attrs);
  if (blocks === null) return null;
  const dmaAddr = dev.domain === null ? directAddress(dev, blocks) : mapBlocks(dev, blocks, pages, attrs);
  if (dmaAddr < 0) {
    freeBlocks(dev, blocks);
    return null;
  }
  const buffer = new CoherentBuffer(dev.memory, dmaAddr, sizeBytes, pages, blocks);
  forEachPage(blocks, (pfn) => dev.dram?.setUncached(pfn, true));
  if (dev.trace.allocCoherent.enabled) dev.trace.allocCoherent.emit(dev, buffer);
  return buffer;
}

/**
 * Give memory of {@link dmaAllocCoherent} back (dma_free_coherent). In a lazy domain the device may use its old
 * translation until the flush queue is flushed, although the pages are free.
 *
 * Not to be called with interrupts off, in the kernel; never sleeps here. One unmap.
 */
export function dmaFreeCoherent(dev: DmaDevice, buffer: CoherentBuffer): void {
  if (dev.trace.freeCoherent.enabled) dev.trace.freeCoherent.emit(dev, buffer);
  if (dev.domain !== null) iommuDmaUnmap(dev, buffer.dmaAddrBytes, buffer.pages * 4096);
  forEachPage(buffer.blocks, (pfn) => dev.dram?.setUncached(pfn, false));
  freeBlocks(dev, buffer.blocks);
}

/** dma_alloc_contiguous: one block of the next power of two. */
function oneBlock(dev: DmaDevice, pages: number): PageBlock[] | null {
  const order = Math.ceil(Math.log2(pages));
  const pfn = dev.memory.allocPages(order);
  return pfn === NO_PFN ? null : [{ pfn, order }];
}

/** __iommu_dma_alloc_pages: at every step the largest leaf size that is wanted and to be had, at least a granule. */
function scatteredBlocks(dev: DmaDevice, pages: number, attrs: number): PageBlock[] | null {
  const smallest = dev.domain!.leafOrders[0]!;
  const orders = dev.domain!.leafOrders.filter((order) => order <= MAX_PAGE_ORDER);
  if ((attrs & DMA_ATTR_ALLOC_SINGLE_PAGES) !== 0) orders.length = 1;
  const blocks: PageBlock[] = [];
  for (let left = pages; left > 0; ) {
    let pfn: Pfn = NO_PFN;
    let order = smallest;
    for (let i = orders.length - 1; i >= 0 && pfn === NO_PFN; i--) {
      order = orders[i]!;
      if (2 ** order <= left) pfn = dev.memory.allocPages(order);
    }
    if (pfn === NO_PFN) {
      freeBlocks(dev, blocks);
      return null;
    }
    blocks.push({ pfn, order });
    left -= 2 ** order;
  }
  return blocks;
}

/** dma_coherent_ok: the block's own address, if the coherent mask reaches its end. */
function directAddress(dev: DmaDevice, [block]: readonly PageBlock[]): number {
  const last = block!.pfn + 2 ** block!.order - 1;
  return last <= dev.coherentLimitPage ? block!.pfn * 4096 : -1;
}

/** One IOVA below the coherent mask, every block mapped behind the one before it; -1 and nothing mapped on failure. */
function mapBlocks(dev: DmaDevice, blocks: readonly PageBlock[], pages: number, attrs: number): number {
  const domain = dev.domain!;
  const page = dev.allocIova(pages, dev.coherentLimitPage);
  if (page === 0) return -1;
  const prot = dmaInfoToProt(DMA_BIDIRECTIONAL, dev.coherent, attrs);
  let mapped = 0;
  for (const { pfn, order } of blocks) {
    const length = Math.min(2 ** order, pages - mapped);
    if (domain.mapRange(page + mapped, pfn, length, prot) !== 0) break;
    mapped += length;
  }
  if (mapped === pages) {
    if (syncMapOrUnmap(dev, page, pages) === 0) return page * 4096;
  } else if (mapped > 0) {
    dev.gather.reset(false);
    domain.unmapRange(page, mapped, dev.gather);
    domain.sync(dev.gather);
  }
  dev.freeIova(page, pages, null);
  return -1;
}

function freeBlocks(dev: DmaDevice, blocks: readonly PageBlock[]): void {
  for (const { pfn, order } of blocks) dev.memory.freePagesBlock(pfn, order);
}

function forEachPage(blocks: readonly PageBlock[], fn: (pfn: Pfn) => void): void {
  for (const { pfn, order } of blocks) {
    for (let i = 0; i < 2 ** order; i++) fn(pfn + i);
  }
}
