import { DMA_FROM_DEVICE, DMA_MAPPING_ERROR, DMA_TO_DEVICE, NO_PFN } from '@gpusvm/dma-iova';
import {
  type FolioTable,
  MIGRATE_PFN_COMPOUND,
  MIGRATE_VMA_SELECT_COMPOUND,
  MIGRATE_VMA_SELECT_DEVICE_COHERENT,
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_SYSTEM,
  MigrateVma,
  migrateVmaFinalize,
  migrateVmaPages,
  migrateVmaSetup,
  type Mm,
  type Vma,
  zoneDevicePageInit,
} from '@gpusvm/hmm';
import {
  EBUSY,
  EFAULT,
  EINVAL,
  ENOENT,
  ENOMEM,
  EOPNOTSUPP,
  type Errno,
  HPAGE_PMD_NR,
  PMD_ORDER,
  schedPoint,
  type SchedPoint,
  type Task,
} from '@gpusvm/kernel';
import { C_EBUSY, C_PAGES_TO_DEVMEM, C_TO_DEVMEM } from './counters.ts';
import { type DrmPagemapDevmem, drmPagemapDevmemRelease } from './devmem.ts';
import { mapSystemPages, unmapSystemPages } from './map-system-pages.ts';
import type { MigrateBuffers } from './migrate-buffers.ts';
import { collectedPages, unlockPutPages } from './migrate-pages.ts';
import { drmPagemapPageZdd, Zdd } from './zdd.ts';

const COLLECTED: SchedPoint = schedPoint('drm_pagemap_migrate_to_devmem: collected');
const COPIED: SchedPoint = schedPoint('drm_pagemap_migrate_to_devmem: copied');
const COMMITTED: SchedPoint = schedPoint('drm_pagemap_migrate_to_devmem: committed');

/** Without one of these there is no migration; a driver in plain JavaScript may lack one. */
const REQUIRED_OPS = ['populateDevmemPfn', 'copyToDevmem', 'copyToRam'] as const;

/** struct drm_pagemap_migrate_details. */
export interface DrmPagemapMigrateDetails {
  /** For how long CPU faults leave the pages on the device, in milliseconds of virtual time. */
  readonly timesliceMs: number;
  /** Pages that already are in this pagemap are moved too, instead of refusing the migration. */
  readonly canMigrateSamePagemap: boolean;
}

/** One migration under way. */
interface Migration {
  readonly folios: FolioTable;
  readonly devmem: DrmPagemapDevmem;
  readonly zdd: Zdd;
  readonly b: MigrateBuffers;
  readonly args: MigrateVma;
  readonly npages: number;
  readonly details: DrmPagemapMigrateDetails;
}

/**
 * Migrate `[startPage, endPage)` into a device allocation, all or nothing (drm_pagemap_migrate_to_devmem;
 * drivers/gpu/drm/drm_pagemap.c, 7.3). May sleep. The mmap lock is held, read is enough.
 *
 * The allocation is consumed on every path: when no device page refers to it in the end, it is released before the
 * function returns (the kernel leaks it on the -EOPNOTSUPP path).
 *
 * @returns 0 (migrated, or there already); -EOPNOTSUPP (an operation is missing); -ENOENT (no VMA at the start);
 *   -EINVAL (not inside one VMA); -EBUSY (VMA not anonymous, a page was not collectable, own pages among others, or
 *   raced while finalising); -ENOMEM; -EFAULT (a page could not be mapped for DMA); the errno of
 *   `populateDevmemPfn` or of a copy.
 */
export function* drmPagemapMigrateToDevmem(
  devmem: DrmPagemapDevmem,
  mm: Mm,
  startPage: number,
  endPage: number,
  details: DrmPagemapMigrateDetails,
): Task<Errno> {
  mm.mmapLock.assertHeld();
  const { dpagemap } = devmem;
  dpagemap.counters[C_TO_DEVMEM]!++;
  const err = yield* migrate(devmem, mm, startPage, endPage, details);
  if (err === -EBUSY) dpagemap.counters[C_EBUSY]!++;
  if (dpagemap.trace.toDevmem.enabled) {
    dpagemap.trace.toDevmem.emit({ pagemap: dpagemap.name, startPage, endPage, err });
  }
  return err;
}

function* migrate(
  devmem: DrmPagemapDevmem,
  mm: Mm,
  startPage: number,
  endPage: number,
  details: DrmPagemapMigrateDetails,
): Task<Errno> {
  const { dpagemap, machine } = devmem;
  const vma = admissibleVma(devmem, mm, startPage, endPage);
  if (typeof vma === 'number' || dpagemap.sites.arrays.shouldFail() || dpagemap.sites.zdd.shouldFail()) {
    drmPagemapDevmemRelease(devmem);
    return typeof vma === 'number' ? vma : -ENOMEM;
  }
  const npages = endPage - startPage;
  const b = dpagemap.buffers.take(npages);
  const zdd = new Zdd(devmem);
  const args = new MigrateVma({
    mm,
    vma,
    startPage,
    endPage,
    src: b.src,
    dst: b.dst,
    pgmapOwner: dpagemap.owner,
    flags:
      MIGRATE_VMA_SELECT_SYSTEM |
      MIGRATE_VMA_SELECT_DEVICE_COHERENT |
      MIGRATE_VMA_SELECT_DEVICE_PRIVATE |
      (machine.profile.hmm.deviceThp ? MIGRATE_VMA_SELECT_COMPOUND : 0),
  });
  let err = yield* migrateVmaSetup(args);
  if (err === 0) {
    if (args.cpages === 0) {
      yield* migrateVmaFinalize(args);
      err = -EBUSY;
    } else {
      err = yield* moveCollected({ folios: mm.folios, devmem, zdd, b, args, npages, details });
    }
  }
  zdd.putMigration();
  dpagemap.buffers.give(b);
  return err;
}

/** Rows 1 to 4 of the step table. */
function admissibleVma(devmem: DrmPagemapDevmem, mm: Mm, startPage: number, endPage: number): Vma | Errno {
  const { ops } = devmem;
  if (REQUIRED_OPS.some((op) => ops[op] === undefined)) return -EOPNOTSUPP;
  const vma = mm.vmaLookup(startPage);
  if (vma === null) return -ENOENT;
  if (endPage <= startPage || endPage > vma.endPage) return -EINVAL;
  return vma.anonymous ? vma : -EBUSY;
}

/** Rows 9 to 19: everything between setup and finalize. */
function* moveCollected(m: Migration): Task<Errno> {
  const { folios, devmem, b, args, npages } = m;
  const { scheduler } = devmem.machine;
  if (scheduler.preemptive) yield COLLECTED;
  const own = ownPages(m);
  let err = 0;
  if (collectedPages(b.src, npages) !== npages) err = -EBUSY;
  else if (own > 0 && own < npages && !m.details.canMigrateSamePagemap) err = -EBUSY;
  else if (own < npages) err = yield* move(m);
  if (err !== 0) unlockPutPages(folios, b.dst, npages);
  if (scheduler.preemptive) yield COPIED;
  yield* migrateVmaPages(args);
  if (err === 0 && own < npages) {
    // A PMD-sized hole counts 512 here too; 7.3 counts it as 1 and reports a successful migration as -EBUSY.
    const moved = collectedPages(b.src, npages);
    devmem.dpagemap.counters[C_PAGES_TO_DEVMEM]! += moved;
    if (moved < npages - own) err = -EBUSY;
  }
  if (scheduler.preemptive) yield COMMITTED;
  yield* migrateVmaFinalize(args);
  return err;
}

/** Pages of the range that are in the destination's pagemap already. */
function ownPages(m: Migration): number {
  const { folios, devmem, b, npages } = m;
  const window = devmem.dpagemap.devPagemap;
  let own = 0;
  for (let i = 0; i < npages; i++) {
    const pfn = b.src.pfn[i]!;
    if (pfn !== NO_PFN && window.contains(pfn)) own += 1 << folios.order(pfn);
  }
  return own;
}

/** Rows 13 to 16: choose pages, copy, and start the time slice. */
function* move(m: Migration): Task<Errno> {
  const { devmem, b, npages } = m;
  let err = devmem.ops.populateDevmemPfn(devmem, npages, b.dst.pfn);
  if (err !== 0) return err;
  err = yield* installAndCopy(m);
  if (err !== 0) return err;
  devmem.preMigrateFence = null;
  devmem.timesliceExpirationNs = devmem.machine.clock.nowNs + m.details.timesliceMs * 1e6;
  return 0;
}

/**
 * Choose the mover of every slot, prepare its destination, and copy segment by segment. The mover of a device page
 * is the allocation that it lies in (the source drives the copy), of everything else the destination itself, here
 * null. A segment ends where the mover changes.
 */
function* installAndCopy(m: Migration): Task<Errno> {
  const { folios, b, npages } = m;
  let last: DrmPagemapDevmem | null = null;
  let lastStart = 0;
  for (let i = 0; i < npages; ) {
    const order = (b.src.flags[i]! & MIGRATE_PFN_COMPOUND) === 0 ? 0 : PMD_ORDER;
    const source = b.src.pfn[i]!;
    const peer = source !== NO_PFN && folios.isDevicePrivate(source);
    const mover = peer ? drmPagemapPageZdd(folios, source).devmem : null;
    b.pages[i] = peer ? source : b.dst.pfn[i]!;
    install(m, i, order);
    if (i > 0 && !sameMover(mover, last)) {
      const err = yield* runSegment(m, last, lastStart, i);
      if (err !== 0) return err;
      lastStart = i;
    }
    last = mover;
    i += 1 << order;
  }
  return yield* runSegment(m, last, lastStart, npages);
}

function sameMover(a: DrmPagemapDevmem | null, b: DrmPagemapDevmem | null): boolean {
  if (a === b) return true;
  return a !== null && b !== null && a.dpagemap === b.dpagemap && a.ops === b.ops;
}

/** Encode the destination of slot i and make its pages a locked device folio that refers to the zdd. */
function install(m: Migration, i: number, order: number): void {
  const { folios, devmem, zdd, b } = m;
  const pfn = b.dst.pfn[i]!;
  b.dst.set(i, pfn, order === 0 ? 0 : MIGRATE_PFN_COMPOUND);
  // The slots behind the head of a large folio hold raw pfns so far.
  if (order !== 0) b.dst.clear(i + 1, i + HPAGE_PMD_NR);
  zoneDevicePageInit(folios, pfn, devmem.dpagemap.devPagemap, order, zdd);
  zdd.getFolio();
  devmem.dpagemap.setRetired(pfn, false);
}

/** Map, copy and unmap slots `[start, end)`; on success and on error nothing stays mapped. */
function* runSegment(m: Migration, mover: DrmPagemapDevmem | null, start: number, end: number): Task<Errno> {
  const { devmem, b, npages } = m;
  const { segment } = devmem.dpagemap.trace;
  if (segment.enabled) {
    segment.emit({
      mover: (mover ?? devmem).dpagemap.name,
      direction: mover === null ? 'sys-to-dev' : 'remote-to-local',
      start,
      end,
    });
  }
  const whole = start === 0 && end === npages;
  const pages = whole ? b.pages : b.pages.subarray(start, end);
  const addrs = whole ? b.addrs : b.addrs.subarray(start, end);
  const fence = devmem.preMigrateFence;
  if (mover === null) {
    let err = mapSystemPages(m.folios, devmem, b, b.src, start, end, DMA_TO_DEVICE);
    if (err === 0) err = yield* devmem.ops.copyToDevmem(pages, addrs, end - start, fence);
    unmapSystemPages(devmem, b, DMA_TO_DEVICE);
    return err;
  }
  let err = mapForPeer(m, mover, start, end);
  if (err === 0) err = yield* mover.ops.copyToRam(pages, addrs, end - start, fence);
  unmapForPeer(m, mover, start, end);
  return err;
}

/** Map the destination pages for the peer that will write them (drm_pagemap_migrate_map_device_private_pages). */
function mapForPeer(m: Migration, mover: DrmPagemapDevmem, start: number, end: number): Errno {
  const { folios, devmem, b } = m;
  const { dpagemap } = devmem;
  for (let i = start; i < end; ) {
    const pfn = b.dst.pfn[i]!;
    const order = folios.order(pfn);
    dpagemap.ops.deviceMap(dpagemap, mover.device, pfn, order, DMA_FROM_DEVICE, b.addrs, i);
    if (b.addrs.addr[i] === DMA_MAPPING_ERROR) return -EFAULT;
    b.addrs.order[i] = order;
    i += 1 << order;
  }
  return 0;
}

/** Undo {@link mapForPeer}, a partial one too: one unmap per map, stepping by the destination's order. */
function unmapForPeer(m: Migration, mover: DrmPagemapDevmem, start: number, end: number): void {
  const { folios, devmem, b } = m;
  const { dpagemap } = devmem;
  for (let i = start; i < end; i += 1 << folios.order(b.dst.pfn[i]!)) {
    if (b.addrs.mapped(i)) dpagemap.ops.deviceUnmap(dpagemap, mover.device, b.addrs, i);
  }
}
