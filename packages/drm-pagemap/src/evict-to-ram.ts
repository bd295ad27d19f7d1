import { type FolioTable, migrateDeviceFinalize, migrateDevicePages, migrateDevicePfns } from '@gpusvm/hmm';
import {
  EBUSY,
  EFAULT,
  ENOMEM,
  type Errno,
  PAGE_SIZE,
  schedPoint,
  type SchedPoint,
  type Task,
} from '@gpusvm/kernel';
import { C_EVICT } from './counters.ts';
import type { DrmPagemapDevmem } from './devmem.ts';
import { copyAndCommit, dropRetired, populateRam } from './to-ram.ts';

const COLLECTED: SchedPoint = schedPoint('drm_pagemap_evict_to_ram: collected');
const RETRY: SchedPoint = schedPoint('drm_pagemap_evict_to_ram: retry');

const ATTEMPTS = 3;

/**
 * Bring every page of an allocation back to RAM (drm_pagemap_evict_to_ram; drivers/gpu/drm/drm_pagemap.c, 7.3): no
 * mmap lock, no VMA, up to three attempts. The caller keeps the driver's memory alive meanwhile. May sleep.
 *
 * @returns 0 if and only if the allocation is detached, that is without pages; -EFAULT when the address space is
 *   going away and pages are left; otherwise the last attempt's error, -ENOMEM, -EFAULT or that of the copy, or -EBUSY
 *   when a page stayed although nothing failed.
 */
export function* drmPagemapEvictToRam(devmem: DrmPagemapDevmem): Task<Errno> {
  const { mm, machine } = devmem;
  devmem.dpagemap.counters[C_EVICT]!++;
  let err: Errno = 0;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (!mm.mmgetNotZero()) return devmem.detached.isDone ? 0 : -EFAULT;
    err = yield* evictOnce(mm.folios, devmem);
    mm.mmput();
    if (devmem.detached.isDone) return 0;
    // Not after the last attempt: the result is about this moment.
    if (machine.scheduler.preemptive && attempt < ATTEMPTS - 1) yield RETRY;
  }
  return err === 0 ? -EBUSY : err;
}

function* evictOnce(folios: FolioTable, devmem: DrmPagemapDevmem): Task<Errno> {
  const { dpagemap, machine } = devmem;
  if (dpagemap.sites.arrays.shouldFail()) return -ENOMEM;
  const npages = devmem.sizeBytes / PAGE_SIZE;
  const b = dpagemap.buffers.take(npages);
  let err = devmem.ops.populateDevmemPfn(devmem, npages, b.src.pfn);
  if (err === 0) err = yield* migrateDevicePfns(folios, b.src, npages);
  if (err === 0) {
    if (machine.scheduler.preemptive) yield COLLECTED;
    dropRetired(folios, b.src, npages);
    const filled = populateRam(folios, dpagemap, b, npages, null, false);
    const commit = {
      pages: () => migrateDevicePages(folios, b.src, b.dst, npages),
      finalize: () => migrateDeviceFinalize(folios, b.src, b.dst, npages),
    };
    err = yield* copyAndCommit(folios, devmem, b, npages, filled, commit, 'evict');
  }
  dpagemap.buffers.give(b);
  return err;
}
