import { HPAGE_PMD_NR, PAGE_SIZE } from '@gpusvm/kernel';
import { COSTS } from './constants.ts';
import { type Counts, dmaTimeNs } from './dma-time.ts';

/**
 * Modelled time of GPU faults with migration, in nanoseconds: the fixed part of each fault, migration, copy, page
 * collection, DMA mapping and bind.
 */
export function faultTimeNs(count: Counts): number {
  const faults = count('xe.svm_pagefault_count');
  const copiedPages = count('xe.copyBytes') / PAGE_SIZE;
  // The copy engine writes one window entry a page or, where everything is huge, one per 2 MiB.
  const hugeFolios = (copiedPages - count('xe.copyEntries')) / (HPAGE_PMD_NR - 1);
  const hugePages = hugeFolios * HPAGE_PMD_NR;
  return (
    dmaTimeNs(count) +
    faults * (COSTS.gpuFault.ns + COSTS.bind.ns) +
    count('xe.ptW') * COSTS.bindPte.ns +
    hugeFolios * COSTS.migrateThp.ns +
    Math.max(0, count('pagemap.pagesToDevmem') - hugePages) * COSTS.migratePage.ns +
    hugePages * COSTS.copyThpPage.ns +
    (copiedPages - hugePages) * COSTS.copyPage.ns +
    count('gpusvm.pagesMapped') * COSTS.getPagesPage.ns +
    count('hmm.notifierStart') * COSTS.notifierRound.ns
  );
}
