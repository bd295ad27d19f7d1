import { type DmaDataDirection, NO_PFN } from '@gpusvm/dma-iova';
import type { FolioTable, MigratePfns } from '@gpusvm/hmm';
import type { Errno } from '@gpusvm/kernel';
import type { DrmPagemapDevmem } from './devmem.ts';
import type { MigrateBuffers } from './migrate-buffers.ts';
import { DRM_INTERCONNECT_SYSTEM } from './pagemap-addr.ts';

/**
 * Map the system pages of slots `[start, end)` for the device of an allocation, through its strategy
 * (drm_pagemap_migrate_map_system_pages; drivers/gpu/drm/drm_pagemap.c, 7.3), and store each address at its slot.
 *
 * Slots without a page and slots with a device page are holes. The caller undoes it with {@link unmapSystemPages},
 * also after an error. Does not sleep. Cost: one map or link call per folio.
 *
 * @param pfns - source array (to the device) or destination array (from it).
 * @returns 0, -EFAULT or the errno of a link or sync.
 */
export function mapSystemPages(
  folios: FolioTable,
  devmem: DrmPagemapDevmem,
  b: MigrateBuffers,
  pfns: MigratePfns,
  start: number,
  end: number,
  dir: DmaDataDirection,
): Errno {
  const { sys, addrs } = b;
  sys.reset();
  for (let i = start; i < end; ) {
    const pfn = pfns.pfn[i]!;
    if (pfn === NO_PFN || folios.isDevicePrivate(pfn)) {
      i++;
      continue;
    }
    const order = folios.order(pfn);
    sys.push(i - start, pfn, order);
    i += 1 << order;
  }
  const err = devmem.mapStrategy.map(devmem.device, b.state, sys, end - start, dir, true);
  if (err !== 0) return err;
  for (let j = 0; j < sys.count; j++) {
    addrs.set(start + sys.slot[j]!, sys.addr[j]!, DRM_INTERCONNECT_SYSTEM, sys.order[j]!, dir);
  }
  return 0;
}

/**
 * Undo {@link mapSystemPages} (drm_pagemap_migrate_unmap_pages). Needs nothing from the pfn arrays, so that clearing
 * them first cannot lose a mapping (bug P1). Does not sleep.
 */
export function unmapSystemPages(devmem: DrmPagemapDevmem, b: MigrateBuffers, dir: DmaDataDirection): void {
  devmem.mapStrategy.unmap(devmem.device, b.state, b.sys, dir);
}
