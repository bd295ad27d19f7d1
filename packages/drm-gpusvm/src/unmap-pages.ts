import type { DmaDataDirection, DmaDevice } from '@gpusvm/dma-iova';
import {
  DRM_INTERCONNECT_SYSTEM,
  type DrmPagemap,
  type PagemapAddrs,
  type SystemPages,
} from '@gpusvm/drm-pagemap';
import { NO_PFN } from '@gpusvm/dma-iova';
import type { Task } from '@gpusvm/kernel';
import { UNMAP_PAGES } from './counters.ts';
import type { DrmGpusvmCtx } from './ctx.ts';
import { tellUnmapped } from './device-trace.ts';
import type { DrmGpusvm } from './gpusvm.ts';
import { type DrmGpusvmPages, NO_ADDRS } from './pages.ts';

/** Holder of the pagemap reference of a pages object. */
export const PAGEMAP_HOLDER = 'gpusvm pages';

/**
 * Take the DMA mapping of a pages object away (drm_gpusvm_unmap_pages). With `ctx.inNotifier` the notifier lock must
 * be held for writing and nothing sleeps; otherwise it is taken for reading. Doing it twice does nothing more.
 *
 * Must be called for every range in the invalidate callback: no device may keep a translation to a page that the MM
 * takes back.
 *
 * @param npages - length of the range, as given to `drmGpusvmGetPages`.
 * @throws Error when `inNotifier` is claimed without the lock in write mode; RangeError for a part of a mapping.
 */
export function* drmGpusvmUnmapPages(
  gpusvm: DrmGpusvm,
  pages: DrmGpusvmPages,
  npages: number,
  ctx: DrmGpusvmCtx,
): Task<void> {
  const { notifierLock } = gpusvm;
  if (ctx.inNotifier) notifierLock.assertHeldWrite();
  else if (!notifierLock.tryDownRead()) yield* notifierLock.downRead();
  checkLength(pages, npages);
  unmapPagesLocked(gpusvm, pages);
  if (!ctx.inNotifier) notifierLock.upRead();
}

/**
 * The last safety net: unmap, and free the address array (drm_gpusvm_free_pages). Takes the notifier lock for reading.
 *
 * @param npages - length of the range.
 */
export function* drmGpusvmFreePages(gpusvm: DrmGpusvm, pages: DrmGpusvmPages, npages: number): Task<void> {
  const { notifierLock } = gpusvm;
  if (!notifierLock.tryDownRead()) yield* notifierLock.downRead();
  checkLength(pages, npages);
  unmapPagesLocked(gpusvm, pages);
  pages.addrs = NO_ADDRS;
  notifierLock.upRead();
}

function checkLength(pages: DrmGpusvmPages, npages: number): void {
  if (pages.npages !== 0 && pages.npages !== npages) {
    throw new RangeError(`unmap of ${npages} pages of a mapping of ${pages.npages}`);
  }
}

/**
 * @internal __drm_gpusvm_unmap_pages; notifier lock held, in any mode. Idempotent. System entries go back through the
 * strategy that mapped them, all others to the pagemap (bug G2); the direction is the one of the map.
 */
export function unmapPagesLocked(gpusvm: DrmGpusvm, pages: DrmGpusvmPages): void {
  const { flags, dev, addrs, dpagemap, state, npages } = pages;
  if (!flags.hasDmaMapping || dev === null) return;
  if (dpagemap !== null) unmapDeviceEntries(dev, dpagemap, addrs, addrs.count);
  // Entry 0 is a system page wherever a strategy has something to undo in one piece; its direction is everybody's.
  if (state.active)
    pages.strategy.unmap(dev, state, systemPagesOf(gpusvm, pages), addrs.dir[0] as DmaDataDirection);
  if (pages.lookup !== null) tellUnmapped(gpusvm, pages);
  flags.hasDevmemPages = false;
  flags.hasDmaMapping = false;
  pages.npages = 0;
  pages.systemEntries = 0;
  pages.addrs = NO_ADDRS;
  pages.dpagemap = null;
  dpagemap?.put(PAGEMAP_HOLDER);
  gpusvm.mappedPages.delete(pages);
  gpusvm.counters[UNMAP_PAGES]!++;
  const { pagesUnmapped } = gpusvm.trace;
  if (pagesUnmapped.enabled)
    pagesUnmapped.emit({ gpusvm: gpusvm.name, device: dev.name, npages, unwind: false });
}

/** @internal Hand the device entries among the first `count` back to their pagemap. */
export function unmapDeviceEntries(
  dev: DmaDevice,
  dpagemap: DrmPagemap,
  addrs: PagemapAddrs,
  count: number,
): void {
  const { proto } = addrs;
  for (let j = 0; j < count; j++) {
    if (proto[j] !== DRM_INTERCONNECT_SYSTEM) dpagemap.ops.deviceUnmap(dpagemap, dev, addrs, j);
  }
}

/** The system entries in the form the strategy mapped them, except for page frames, which nobody needs to undo. */
function systemPagesOf(gpusvm: DrmGpusvm, pages: DrmGpusvmPages): SystemPages {
  const { addr, order, proto, count } = pages.addrs;
  const system = gpusvm.systemPages();
  for (let j = 0, page = 0; j < count; j++) {
    const entryOrder = order[j]!;
    if (proto[j] === DRM_INTERCONNECT_SYSTEM) {
      system.addr[system.count] = addr[j]!;
      system.push(page, NO_PFN, entryOrder);
    }
    page += 1 << entryOrder;
  }
  return system;
}
