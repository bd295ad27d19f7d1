import { ENOMEM, type Errno } from '@gpusvm/kernel';
import { archSyncDmaForCpu, needsCacheMaintenance } from './arch-sync-dma.ts';
import { DMA_ATTR_SKIP_CPU_SYNC, type DmaDataDirection, dmaInfoToProt } from './attributes.ts';
import type { DmaDevice } from './device.ts';
import { C_LVL_TOUCH, C_WALK } from './dma-counters.ts';
import type { DmaIovaState } from './dma-iova-state.ts';
import { zeroPadding } from './dma-map.ts';
import { iommuMapBytes, unfitting } from './iommu-map-bytes.ts';
import { granulePages, iovaOffset } from './iova-granule.ts';
import { NO_PFN } from './physical-memory.ts';
import { warnInactive } from './swiotlb-rules.ts';

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
  const pad = iovaOffset(dev, physBytes);
  const head = pad === 0 ? 0 : Math.min(sizeBytes, dev.granuleBytes - pad);
  const tail = head === sizeBytes ? 0 : iovaOffset(dev, physBytes + sizeBytes);
  const middle = sizeBytes - head - tail;
  let done = 0;
  let err: Errno = 0;
  if (head !== 0) {
    err = bounceOne(dev, state, physBytes, offsetBytes, head, dir, attrs);
    if (err === 0) done = head;
  }
  if (err === 0 && middle !== 0) {
    err = iommuMapBytes(
      dev,
      state.addr + offsetBytes + done,
      physBytes + done,
      middle,
      dir,
      attrs,
      defers(dev),
    );
    if (err === 0) done += middle;
  }
  if (err === 0 && tail !== 0) {
    err = bounceOne(dev, state, physBytes + done, offsetBytes + done, tail, dir, attrs);
    if (err === 0) return 0;
  }
  if (err !== 0 && done !== 0) undo(dev, state.addr + offsetBytes, done, dir, attrs);
  return err;
}

/** Whether the barrier behind the cache maintenance of links comes with the sync. */
function defers(dev: DmaDevice): boolean {
  return dev.machine.profile.dma.linkDefersCacheFlush;
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
  const pad = iovaOffset(dev, addrBytes);
  dev.gather.reset(false);
  dev.domain!.unmapRange((addrBytes - pad) / 4096, granulePages(dev, sizeBytes + pad), dev.gather);
  dev.domain!.sync(dev.gather);
}

/**
 * One part of a granule: a slot, mapped at the granule that holds the offset. A device that does not ask for the offset bits
 * of a granule (`minAlignMask`) gets a slot that begins at one, so that a head has no page size that fits: -ENXIO.
 */
function bounceOne(
  dev: DmaDevice,
  state: DmaIovaState,
  physBytes: number,
  offsetBytes: number,
  sizeBytes: number,
  dir: DmaDataDirection,
  attrs: number,
): Errno {
  if (warnInactive(dev)) return -ENOMEM;
  const slot = dev.swiotlb!.map(physBytes, sizeBytes, dir, attrs, dev.granuleBytes - 1);
  if (slot < 0) return -ENOMEM;
  if (dev.untrusted) zeroPadding(dev, slot, sizeBytes);
  const pad = iovaOffset(dev, physBytes);
  const err =
    iovaOffset(dev, slot) === pad
      ? iommuMapBytes(dev, state.addr + offsetBytes, slot, sizeBytes, dir, attrs, defers(dev))
      : unfitting(dev, dmaInfoToProt(dir, dev.coherent, attrs), 1);
  if (err !== 0) {
    dev.swiotlb!.unmap(slot, sizeBytes, dir, attrs);
    return err;
  }
  state.swiotlb = true;
  return 0;
}

/**
 * The pass that finds every granule's physical address before an unmap, for cache maintenance and bounce slots
 * (iommu_dma_iova_unlink_range_slow): one walk a granule.
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
  const maintain = needsCacheMaintenance(dev, attrs);
  let addr = addrBytes;
  do {
    const pad = iovaOffset(dev, addr);
    dev.counters[C_WALK]!++;
    dev.counters[C_LVL_TOUCH]! += domain.levels;
    const pfn = domain.translate((addr - pad) / 4096);
    if (pfn !== NO_PFN) {
      const length = Math.min(end - addr, dev.granuleBytes - pad);
      if (maintain) archSyncDmaForCpu(dev, pfn * 4096 + pad, length, dir);
      if (dev.swiotlb !== null) dev.swiotlb.unmap(pfn * 4096 + pad, length, dir, attrs);
    } else if (atHole === 'stop-at-hole') {
      dev.machine.warn(
        'iommu_dma_iova_unlink_range_slow: no translation',
        `${dev.name}: nothing mapped at 0x${addr.toString(16)}; the rest of the range is neither synced nor unbounced`,
      );
      return;
    }
    addr += dev.granuleBytes - pad;
  } while (addr < end);
}
