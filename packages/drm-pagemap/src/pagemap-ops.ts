import type { DevPagemapOps, FolioTable } from '@gpusvm/hmm';
import type { Pfn } from '@gpusvm/kernel';
import { drmPagemapMigrateToRam } from './migrate-to-ram.ts';
import { drmPagemapPageZdd } from './zdd.ts';

/**
 * Operations of the page structures behind a drm_pagemap (drm_pagemap_pagemap_ops_get): CPU faults, free, split. Only
 * `migrateToRam` may sleep.
 *
 * @param folios - table that the device window is appended to.
 */
export function drmPagemapPagemapOpsGet(folios: FolioTable): DevPagemapOps {
  return {
    migrateToRam: drmPagemapMigrateToRam,
    folioFree(head: Pfn): void {
      drmPagemapPageZdd(folios, head).putFolio();
    },
    // The tail is a folio of its own from now on: same zdd with a reference more, same retired mark.
    folioSplit(head: Pfn, tail: Pfn | null): void {
      if (tail === null) return;
      const zdd = drmPagemapPageZdd(folios, head);
      zdd.getFolio();
      folios.setZoneDeviceData(tail, zdd);
      zdd.dpagemap.setRetired(tail, zdd.dpagemap.isRetired(head));
    },
  };
}
