import { ENOMEM, type Errno } from '@gpusvm/kernel';
import { DMA_ATTR_MMIO, DMA_ATTR_SKIP_CPU_SYNC, type DmaDataDirection, dmaInfoToProt } from './attributes.ts';
import type { DmaDevice } from './device.ts';
import { C_CPU_SYNC, C_LVL_TOUCH, C_WALK } from './dma-counters.ts';
import type { DmaIovaState } from './dma-iova-state.ts';
import { iommuMapBytes } from './iommu-map-bytes.ts';
import { NO_PFN } from './physical-memory.ts';

/**
 * Link a range of which the device may see only its own bytes: the parts of pages at head and tail go through
 * bounce slots, the aligned middle is mapped directly (iommu_dma_iova_link_swiotlb). On error everything that this
 * call has linked is unlinked again, and nothing else.
 */
export function linkBounced(
  dev: DmaDevice,
  state: DmaIovaState,
  physBytes: number,
  offsetBytes: number,
  sizeBytes: number,
  dir: DmaDataDirection,
  attrs: number,
): Errno {
  const pad = physBytes & 4095;
  const head = pad === 0 ? 0 : Math.min(sizeBytes, 4096 - pad);
  const tail = head === sizeBytes ? 0 : (physBytes + sizeBytes) & 4095;
  const middle = sizeBytes - head - tail;
  let done = 0;
  let err: Errno = 0;
  if (head !== 0) {
    err = bounceOne(dev, state, physBytes, offsetBytes, head, dir, attrs);
    if (err === 0) done = head;
  }
  if (err === 0 && middle !== 0) {
    err = iommuMapBytes(dev, state.addr + offsetBytes + done, physBytes + done, middle, dir, attrs);
    if (err === 0) done += middle;
  }
  if (err === 0 && tail !== 0) {
    err = bounceOne(dev, state, physBytes + done, offsetBytes + done, tail, dir, attrs);
    if (err === 0) return 0;
  }
  if (err !== 0 && done !== 0) undo(dev, state.addr + offsetBytes, done, dir, attrs);
  return err;
}

/** Unmap what a failing link has done so far and give its slots back. */
function undo(
  dev: DmaDevice,
  addrBytes: number,
  sizeBytes: number,
  dir: DmaDataDirection,
  attrs: number,
): void {
  syncForCpuSlowly(dev, addrBytes, sizeBytes, dir, attrs | DMA_ATTR_SKIP_CPU_SYNC, 'stop-at-hole');
  const pad = addrBytes & 4095;
  dev.gather.reset(false);
  dev.domain!.unmapRange((addrBytes - pad) / 4096, Math.ceil((sizeBytes + pad) / 4096), dev.gather);
  dev.domain!.sync(dev.gather);
}

/** One part of a page: a slot, and the slot's page mapped at the page that holds the offset. */
function bounceOne(
  dev: DmaDevice,
  state: DmaIovaState,
  physBytes: number,
  offsetBytes: number,
  sizeBytes: number,
  dir: DmaDataDirection,
  attrs: number,
): Errno {
  const slot = dev.swiotlb!.map(physBytes, sizeBytes, dir, attrs);
  if (slot < 0) return -ENOMEM;
  const pad = physBytes & 4095;
  const start = state.addr + offsetBytes - pad;
  const prot = dmaInfoToProt(dir, dev.coherent, attrs);
  const err = dev.domain!.mapRange(Math.floor(start / 4096), (slot - pad) / 4096, 1, prot);
  if (err !== 0) {
    dev.swiotlb!.unmap(slot, dir, attrs | DMA_ATTR_SKIP_CPU_SYNC);
    return err;
  }
  state.swiotlb = true;
  return 0;
}

/**
 * The pass that finds every page's physical address before an unmap, for cache maintenance and bounce slots
 * (iommu_dma_iova_unlink_range_slow): one walk a page.
 *
 * @param atHole - the kernel warns and gives up at a page that is not mapped, so later slots leak;
 *   {@link dmaIovaDestroyHoles} steps over it.
 */
export function syncForCpuSlowly(
  dev: DmaDevice,
  addrBytes: number,
  sizeBytes: number,
  dir: DmaDataDirection,
  attrs: number,
  atHole: 'stop-at-hole' | 'skip-holes',
): void {
  const domain = dev.domain!;
  const end = addrBytes + sizeBytes;
  const maintain = !dev.coherent && (attrs & (DMA_ATTR_SKIP_CPU_SYNC | DMA_ATTR_MMIO)) === 0;
  let addr = addrBytes;
  do {
    const pad = addr & 4095;
    dev.counters[C_WALK]!++;
    dev.counters[C_LVL_TOUCH]! += domain.levels;
    const pfn = domain.translate((addr - pad) / 4096);
    if (pfn !== NO_PFN) {
      if (maintain) dev.counters[C_CPU_SYNC]!++;
      if (dev.swiotlb !== null) dev.swiotlb.unmap(pfn * 4096 + pad, dir, attrs);
    } else if (atHole === 'stop-at-hole') {
      dev.machine.warn(
        'iommu_dma_iova_unlink_range_slow: no translation',
        `${dev.name}: nothing mapped at 0x${addr.toString(16)}; the rest of the range is neither synced nor unbounced`,
      );
      return;
    }
    addr += 4096 - pad;
  } while (addr < end);
}
