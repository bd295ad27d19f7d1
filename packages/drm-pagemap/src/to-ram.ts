import { DMA_FROM_DEVICE, NO_PFN } from '@gpusvm/dma-iova';
import { type FolioTable, MIGRATE_PFN_COMPOUND, MIGRATE_PFN_MIGRATE, type MigratePfns } from '@gpusvm/hmm';
import { ENOMEM, type Errno, type Pfn, schedPoint, type SchedPoint, type Task } from '@gpusvm/kernel';
import { C_FALLBACK_ORDER0, C_PAGES_TO_RAM } from './counters.ts';
import type { DrmPagemapDevmem } from './devmem.ts';
import { mapSystemPages, unmapSystemPages } from './map-system-pages.ts';
import type { MigrateBuffers } from './migrate-buffers.ts';
import { unlockPutPages } from './migrate-pages.ts';
import type { DrmPagemap } from './pagemap.ts';
import { drmPagemapPageToDpagemap, type Zdd } from './zdd.ts';

const COPIED: SchedPoint = schedPoint('drm_pagemap to RAM: copied');
const COMMITTED: SchedPoint = schedPoint('drm_pagemap to RAM: committed');

/** @internal The second half of migrate_vma_* or of migrate_device_*. */
export interface ToRamCommit {
  pages(): Task<void>;
  finalize(): Task<void>;
}

/**
 * @internal Take MIGRATE from sources whose content already moved to RAM (7.3): somebody locked the folio in the
 * moment between its unlock and its last put (bug P4).
 */
export function dropRetired(folios: FolioTable, src: MigratePfns, npages: number): void {
  if (!folios.machine.profile.pagemap.retiredFolios) return;
  for (let i = 0; i < npages; i++) {
    if ((src.flags[i]! & MIGRATE_PFN_MIGRATE) === 0) continue;
    const pfn = src.pfn[i]!;
    if (pfn === NO_PFN || !folios.isDevicePrivate(pfn)) continue;
    if (drmPagemapPageToDpagemap(folios, pfn).isRetired(folios.head(pfn))) {
      src.flags[i] = src.flags[i]! & ~MIGRATE_PFN_MIGRATE;
    }
  }
}

/** Mark every committed source (7.3), and count the pages. Before finalize unlocks them. */
function retireCommitted(folios: FolioTable, src: MigratePfns, npages: number): number {
  const mark = folios.machine.profile.pagemap.retiredFolios;
  let pages = 0;
  for (let i = 0; i < npages; ) {
    const pfn = src.pfn[i]!;
    if ((src.flags[i]! & MIGRATE_PFN_MIGRATE) === 0 || pfn === NO_PFN || !folios.isDevicePrivate(pfn)) {
      i++;
      continue;
    }
    const order = folios.order(pfn);
    if (mark) drmPagemapPageToDpagemap(folios, pfn).setRetired(folios.head(pfn), true);
    pages += 1 << order;
    i += 1 << order;
  }
  return pages;
}

/** A locked RAM folio with one reference, or NO_PFN. */
function ramFolio(folios: FolioTable, dpagemap: DrmPagemap, order: number): Pfn {
  const pfn = dpagemap.sites.ramFolio.shouldFail() ? NO_PFN : folios.allocFolio(order);
  if (pfn !== NO_PFN) folios.trylock(pfn); // cannot fail: nobody else knows the folio
  return pfn;
}

/** Give every page of a large source a page of its own; the source is split when it is committed. */
function demote(
  folios: FolioTable,
  dpagemap: DrmPagemap,
  b: MigrateBuffers,
  i: number,
  pages: number,
): boolean {
  const head = b.src.pfn[i]!;
  for (let k = 0; k < pages; k++) {
    const pfn = ramFolio(folios, dpagemap, 0);
    if (pfn === NO_PFN) return false;
    b.dst.set(i + k, pfn);
    b.pages[i + k] = head + k;
  }
  dpagemap.counters[C_FALLBACK_ORDER0]!++;
  return true;
}

/**
 * @internal Choose RAM for everything that migrates (drm_pagemap_migrate_populate_ram_pfn): a locked folio of the
 * source's order. Fills `dst`, and `pages` with the sources for the copy.
 *
 * @param fault - only pages of this allocation; null = all.
 * @param mayDemote - a failed large allocation may be replaced by single pages. Only the path with a VMA can
 *   commit that: migrate_device_pages refuses a large source with single destinations.
 * @returns pages filled; -ENOMEM, and then no slot is.
 */
export function populateRam(
  folios: FolioTable,
  dpagemap: DrmPagemap,
  b: MigrateBuffers,
  npages: number,
  fault: Zdd | null,
  mayDemote: boolean,
): number {
  const { src, dst } = b;
  let filled = 0;
  for (let i = 0; i < npages; ) {
    const pfn = src.pfn[i]!;
    if ((src.flags[i]! & MIGRATE_PFN_MIGRATE) === 0 || pfn === NO_PFN || isForeign(folios, pfn, fault)) {
      i++;
      continue;
    }
    const order = folios.order(pfn);
    const pages = 1 << order;
    const ram = ramFolio(folios, dpagemap, order);
    if (ram !== NO_PFN) {
      dst.set(i, ram, order === 0 ? 0 : MIGRATE_PFN_COMPOUND);
      b.pages[i] = pfn;
    } else if (order === 0 || !mayDemote || !demote(folios, dpagemap, b, i, pages)) {
      unlockPutPages(folios, dst, npages);
      return -ENOMEM;
    }
    filled += pages;
    i += pages;
  }
  return filled;
}

function isForeign(folios: FolioTable, pfn: Pfn, fault: Zdd | null): boolean {
  return fault !== null && folios.zoneDeviceData(folios.head(pfn)) !== fault;
}

/**
 * @internal Copy what `populateRam` filled, undo the mapping, and commit. `profile.pagemap.toRamOrder` says whether
 * the mapping is undone before the pages become visible (7.3) or after (up to 7.2, where a bounced copy arrives too
 * late). Whichever it is, nothing stays mapped.
 *
 * @param filled - result of {@link populateRam}; with 0 or an error nothing is copied, the sources come back.
 */
export function* copyAndCommit(
  folios: FolioTable,
  devmem: DrmPagemapDevmem,
  b: MigrateBuffers,
  npages: number,
  filled: number,
  commit: ToRamCommit,
  cause: 'cpu-fault' | 'evict',
): Task<Errno> {
  const { dpagemap, machine } = devmem;
  const { scheduler } = machine;
  let err: Errno = filled < 0 ? filled : 0;
  if (filled > 0) {
    const { segment } = dpagemap.trace;
    if (segment.enabled) {
      segment.emit({ mover: dpagemap.name, direction: 'dev-to-sys', start: 0, end: npages });
    }
    err = mapSystemPages(folios, devmem, b, b.dst, 0, npages, DMA_FROM_DEVICE);
    if (err === 0) err = yield* devmem.ops.copyToRam(b.pages, b.addrs, npages, devmem.preMigrateFence);
  }
  const unmapFirst = machine.profile.pagemap.toRamOrder === 'unmap-first';
  if (unmapFirst) unmapSystemPages(devmem, b, DMA_FROM_DEVICE);
  if (err !== 0) unlockPutPages(folios, b.dst, npages);
  if (scheduler.preemptive) yield COPIED;
  yield* commit.pages();
  const pages = retireCommitted(folios, b.src, npages);
  if (scheduler.preemptive) yield COMMITTED;
  yield* commit.finalize();
  if (!unmapFirst) unmapSystemPages(devmem, b, DMA_FROM_DEVICE);
  dpagemap.counters[C_PAGES_TO_RAM]! += pages;
  if (dpagemap.trace.toRam.enabled) dpagemap.trace.toRam.emit({ pagemap: dpagemap.name, cause, pages, err });
  return err;
}
