import { NO_PFN } from '@gpusvm/dma-iova';
import {
  type FolioTable,
  MIGRATE_PFN_COMPOUND,
  MIGRATE_PFN_MIGRATE,
  MIGRATE_PFN_VALID,
  type MigratePfns,
} from '@gpusvm/hmm';
import { HPAGE_PMD_NR } from '@gpusvm/kernel';

/**
 * Pages that a source array collected (drm_pagemap_cpages): a folio counts its size, a PMD-sized hole counts 512,
 * every other migrating slot 1. `args.cpages` of migrate_vma counts compound slots as 1.
 */
export function collectedPages(src: MigratePfns, npages: number): number {
  let pages = 0;
  for (let i = 0; i < npages; i++) {
    const flags = src.flags[i]!;
    if ((flags & MIGRATE_PFN_MIGRATE) === 0) continue;
    if ((flags & MIGRATE_PFN_COMPOUND) === 0) {
      pages++;
    } else {
      pages += HPAGE_PMD_NR;
      i += HPAGE_PMD_NR - 1;
    }
  }
  return pages;
}

/**
 * Unlock and put every page that a destination array names and empty it
 * (drm_pagemap_migration_unlock_put_pages). Slots that hold a raw pfn only are emptied.
 */
export function unlockPutPages(folios: FolioTable, dst: MigratePfns, npages: number): void {
  for (let i = 0; i < npages; i++) {
    if ((dst.flags[i]! & MIGRATE_PFN_VALID) === 0) continue;
    const pfn = dst.pfn[i]!;
    if (pfn === NO_PFN) continue;
    folios.unlock(pfn);
    folios.put(pfn);
  }
  dst.clear(0, npages);
}
