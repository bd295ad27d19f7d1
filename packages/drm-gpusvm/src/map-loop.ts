import {
  DMA_BIDIRECTIONAL,
  DMA_MAPPING_ERROR,
  DMA_TO_DEVICE,
  type DmaDataDirection,
  type DmaDevice,
} from '@gpusvm/dma-iova';
import {
  DRM_INTERCONNECT_SYSTEM,
  type DrmPagemap,
  type PagemapAddrs,
  type SystemPages,
  Zdd,
} from '@gpusvm/drm-pagemap';
import type { FolioTable, HmmPfns } from '@gpusvm/hmm';
import { EAGAIN, EFAULT, EOPNOTSUPP, type Errno, type Pfn } from '@gpusvm/kernel';
import { PAGES_MAPPED } from './counters.ts';
import type { DrmGpusvmCtx } from './ctx.ts';
import type { DrmGpusvm } from './gpusvm.ts';
import { hmmPfnToOrder } from './hmm-order.ts';
import type { DrmGpusvmPages } from './pages.ts';
import { PAGEMAP_HOLDER, unmapDeviceEntries } from './unmap-pages.ts';

/** What the walk over the PFNs has met so far. */
interface Walk {
  readonly folios: FolioTable;
  readonly dev: DmaDevice;
  readonly dir: DmaDataDirection;
  readonly addrs: PagemapAddrs;
  readonly system: SystemPages;
  readonly ctx: DrmGpusvmCtx;
  /** Entries of `addrs` filled; device entries among them are mapped. */
  entries: number;
  dpagemap: DrmPagemap | null;
  /** Zone device data of the page before. */
  zdd: Zdd | null;
}

/**
 * @internal Map the pages that HMM found, all or nothing (the map loop of drm_gpusvm_get_pages). Notifier lock held, sequence
 * number checked, nothing mapped yet; neither sleeps nor allocates.
 *
 * Device pages get their address from the pagemap as they are met; system pages are collected and handed to the strategy
 * in one piece. An IOVA reservation is allowed only if the first entry is a system page (as in 7.2 and 7.3: cliff L4).
 *
 * @returns 0; -EOPNOTSUPP for a mixture that was not allowed, a second pagemap, or zone-device pages that belong to no
 * drm_pagemap; -EFAULT for a system page with `devmemOnly` and for a failed mapping; -EAGAIN (and a warning) for a
 * device page without data; errnos of dma_iova_link and dma_iova_sync. After an error nothing is mapped.
 */
export function mapPages(
  gpusvm: DrmGpusvm,
  pages: DrmGpusvmPages,
  folios: FolioTable,
  pfns: HmmPfns,
  npages: number,
  ctx: DrmGpusvmCtx,
): Errno {
  const { addrs, state, strategy } = pages;
  const dev = pages.dev!;
  const dir = ctx.readOnly ? DMA_TO_DEVICE : DMA_BIDIRECTIONAL;
  const system = gpusvm.systemPages();
  const walk: Walk = { folios, dev, dir, addrs, system, ctx, entries: 0, dpagemap: null, zdd: null };
  let err = collect(gpusvm, walk, pfns, npages);
  if (err === 0 && system.count > 0) {
    err = strategy.map(dev, state, system, npages, dir, addrs.proto[0] === DRM_INTERCONNECT_SYSTEM);
  }
  if (err !== 0) {
    unwind(gpusvm, pages, walk, npages);
    return err;
  }
  takeSystemAddresses(walk);
  publish(gpusvm, pages, walk, npages);
  return 0;
}

/** Decide for every page what it is; map device pages, list system pages. */
function collect(gpusvm: DrmGpusvm, walk: Walk, pfns: HmmPfns, npages: number): Errno {
  const { folios, dir, addrs, system, ctx } = walk;
  const { ramPages } = folios;
  const { pfn: pfnOf } = pfns;
  const { proto: protoOf, order: orderOf, dir: dirOf } = addrs;
  const { slot, pfn: systemPfn, order: systemOrder } = system;
  let count = 0;
  let err = 0;
  let i = 0;
  while (i < npages) {
    const pfn = pfnOf[i]!;
    const order = hmmPfnToOrder(pfns, i, npages);
    if (pfn >= ramPages) {
      err = mapDevicePage(gpusvm, walk, pfn, order, i);
    } else if (walk.dpagemap !== null && !ctx.allowMixed) {
      err = -EOPNOTSUPP;
    } else if (ctx.devmemOnly) {
      err = -EFAULT;
    } else {
      const j = walk.entries++;
      protoOf[j] = DRM_INTERCONNECT_SYSTEM;
      orderOf[j] = order;
      dirOf[j] = dir;
      slot[count] = i;
      systemPfn[count] = pfn;
      systemOrder[count] = order;
      count++;
      walk.zdd = null;
    }
    if (err !== 0) break;
    i += 1 << order;
  }
  system.count = count;
  return err;
}

function mapDevicePage(gpusvm: DrmGpusvm, walk: Walk, pfn: Pfn, order: number, i: number): Errno {
  const { folios, dev, dir, addrs, ctx } = walk;
  const data = folios.zoneDeviceData(folios.head(pfn));
  if (data === null) {
    gpusvm.machine.warn('drm_gpusvm_get_pages: device page without data', `pfn ${pfn} of ${gpusvm.name}`);
    return -EAGAIN;
  }
  // Zone-device memory of somebody else (candidate U13): what hangs on the page has another meaning there.
  if (!(data instanceof Zdd)) return -EOPNOTSUPP;
  if (!ctx.allowMixed && i > 0 && data !== walk.zdd) return -EOPNOTSUPP;
  walk.zdd = data;
  const { dpagemap } = data;
  if (walk.dpagemap === null) {
    dpagemap.get(PAGEMAP_HOLDER);
    walk.dpagemap = dpagemap;
  } else if (walk.dpagemap !== dpagemap) {
    return -EOPNOTSUPP;
  }
  const j = walk.entries;
  dpagemap.ops.deviceMap(dpagemap, dev, pfn, order, dir, addrs, j);
  if (addrs.addr[j] === DMA_MAPPING_ERROR) return -EFAULT;
  if (addrs.proto[j] === DRM_INTERCONNECT_SYSTEM) {
    throw new TypeError(`deviceMap of ${dpagemap.name} returned a system address for device page ${pfn}`);
  }
  walk.entries++;
  return 0;
}

/** Undo everything of a failed walk: what the strategy mapped, device entries, the pagemap reference (bugs G9, G10). */
function unwind(gpusvm: DrmGpusvm, pages: DrmGpusvmPages, walk: Walk, npages: number): void {
  const { dev, dir, addrs, system, dpagemap } = walk;
  if (pages.state.active) pages.strategy.unmap(dev, pages.state, system, dir);
  if (dpagemap !== null) {
    unmapDeviceEntries(dev, dpagemap, addrs, walk.entries);
    dpagemap.put(PAGEMAP_HOLDER);
  }
  const { pagesUnmapped } = gpusvm.trace;
  if (pagesUnmapped.enabled)
    pagesUnmapped.emit({ gpusvm: gpusvm.name, device: dev.name, npages, unwind: true });
}

/** Copy the addresses of the strategy into the entries they belong to. */
function takeSystemAddresses(walk: Walk): void {
  const { addrs, system, entries } = walk;
  if (system.count === entries) {
    addrs.addr.set(entries === system.addr.length ? system.addr : system.addr.subarray(0, entries));
    return;
  }
  const { addr, proto } = addrs;
  for (let j = 0, k = 0; j < entries; j++) {
    if (proto[j] === DRM_INTERCONNECT_SYSTEM) addr[j] = system.addr[k++]!;
  }
}

function publish(gpusvm: DrmGpusvm, pages: DrmGpusvmPages, walk: Walk, npages: number): void {
  const { dev, entries, dpagemap, system } = walk;
  pages.addrs.count = entries;
  pages.npages = npages;
  pages.systemEntries = system.count;
  pages.dpagemap = dpagemap;
  pages.flags.hasDevmemPages = dpagemap !== null;
  pages.flags.hasDmaMapping = true;
  gpusvm.mappedPages.add(pages);
  gpusvm.counters[PAGES_MAPPED]! += npages;
  const { pagesMapped } = gpusvm.trace;
  if (!pagesMapped.enabled) return;
  const iova = pages.state.usesIova;
  pagesMapped.emit({
    gpusvm: gpusvm.name,
    device: dev.name,
    npages,
    entries,
    systemEntries: system.count,
    iova,
  });
}
