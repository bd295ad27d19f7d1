/** How well a constant is known. */
export type Provenance = 'published' | 'derived' | 'assumed';

/** One constant of the cost model; the label travels with the number into every report. */
export interface CostConstant {
  readonly id: string;
  /** What one unit of it is. */
  readonly what: string;
  readonly ns: number;
  readonly provenance: Provenance;
  /** Where it comes from, in words a reader can follow up. */
  readonly source: string;
}

/** Name of a constant. */
export type CostId =
  | 'mapCall'
  | 'pte'
  | 'linkCall'
  | 'unmapCall'
  | 'lookup'
  | 'table'
  | 'iotlbInvalidation'
  | 'flushQueueEntry'
  | 'flushAll'
  | 'iovaCached'
  | 'iovaTree'
  | 'iovaTreeStep'
  | 'bouncePage'
  | 'gpuFault'
  | 'migratePage'
  | 'migrateThp'
  | 'getPagesPage'
  | 'bind'
  | 'bindPte'
  | 'copyPage'
  | 'copyThpPage'
  | 'notifierRound';

const GPT = 'J. Gunthorpe, generic_pt cover v4, 0-v4-0d6a6726a372+18959-iommu_pt_jgg@nvidia.com';
const THP = 'F. Dugast, device THP for drm_pagemap v4 7/7, 20260111205820.830410-8-francois.dugast@intel.com';
const IOVA = 'M. Brost, IOVA series RFC v3, 20260128004841.2436896-1-matthew.brost@intel.com';

/**
 * Default constants, best overall fit. Several were computed from published 2 MiB fault figures, so a result
 * must not be presented as a prediction of those figures.
 */
export const COSTS: Readonly<Record<CostId, CostConstant>> = {
  mapCall: {
    id: 'mapCall',
    what: 'IO page-table map of one page: the descent and the first entry',
    ns: 55,
    provenance: 'published',
    source: `${GPT}, VT-d second stage`,
  },
  pte: {
    id: 'pte',
    what: 'each further entry written or cleared by the same call',
    ns: 1.5,
    provenance: 'derived',
    source: `256 pages mapped in one call take 391 ns; clearing costs 0.6 to 1.4 ns; ${GPT}`,
  },
  linkCall: {
    id: 'linkCall',
    what: 'overhead of a dma_iova_link call above the map',
    ns: 75,
    provenance: 'derived',
    source: `129 ns per avoided link minus 55 ns; ${IOVA}`,
  },
  unmapCall: {
    id: 'unmapCall',
    what: 'IO page-table unmap: the descent and the first entry',
    ns: 70,
    provenance: 'published',
    source: `${GPT}, VT-d second stage`,
  },
  lookup: {
    id: 'lookup',
    what: 'iommu_iova_to_phys of the classic unmap',
    ns: 55,
    provenance: 'assumed',
    source: 'taken as one descent, like mapCall',
  },
  table: {
    id: 'table',
    what: 'a new IO page-table page',
    ns: 250,
    provenance: 'assumed',
    source: 'no published figure',
  },
  iotlbInvalidation: {
    id: 'iotlbInvalidation',
    what: 'a strict IOTLB invalidation, submit and wait',
    ns: 900,
    provenance: 'assumed',
    source: 'about 2100 cycles, from memory of the rIOMMU paper; no published latency for VT-d or SMMUv3',
  },
  flushQueueEntry: {
    id: 'flushQueueEntry',
    what: 'a flush-queue entry',
    ns: 30,
    provenance: 'assumed',
    source: 'no published figure',
  },
  flushAll: {
    id: 'flushAll',
    what: 'a whole-domain flush of the flush queue',
    ns: 1500,
    provenance: 'assumed',
    source: 'no published figure',
  },
  iovaCached: {
    id: 'iovaCached',
    what: 'an IOVA from the per-CPU cache',
    ns: 25,
    provenance: 'assumed',
    source: 'no published figure',
  },
  iovaTree: {
    id: 'iovaTree',
    what: 'an IOVA from the rbtree',
    ns: 300,
    provenance: 'assumed',
    source: 'no published figure',
  },
  iovaTreeStep: {
    id: 'iovaTreeStep',
    what: 'each node looked at by the rbtree search',
    ns: 5,
    provenance: 'assumed',
    source: 'no published figure',
  },
  bouncePage: {
    id: 'bouncePage',
    what: 'copy of 4 KiB through a bounce buffer',
    ns: 236,
    provenance: 'derived',
    source: 'memcpy of 2 MiB in 112 to 130 us, measured on one x86-64 virtual machine',
  },
  gpuFault: {
    id: 'gpuFault',
    what: 'fixed part of one GPU fault',
    ns: 108_000,
    provenance: 'derived',
    source:
      'a 2 MiB fault is about 58 times faster than 512 separate ones; aXuld/QOR9gh4fjg@lstrano-desk.jf.intel.com',
  },
  migratePage: {
    id: 'migratePage',
    what: 'migrate_vma collect, unmap and finalize of a 4 KiB page',
    ns: 1400,
    provenance: 'derived',
    source: `719 us of CPU time for 512 pages; ${THP}`,
  },
  migrateThp: {
    id: 'migrateThp',
    what: 'the same for a 2 MiB folio',
    ns: 22_000,
    provenance: 'derived',
    source: `22 us of CPU time for one folio; ${THP}`,
  },
  getPagesPage: {
    id: 'getPagesPage',
    what: 'get_pages, per 4 KiB page',
    ns: 18,
    provenance: 'derived',
    source: `9 us for 512 pages; ${THP}`,
  },
  bind: {
    id: 'bind',
    what: 'GPU bind: fixed part',
    ns: 2000,
    provenance: 'published',
    source: `2 us with one 2 MiB entry; ${THP}`,
  },
  bindPte: {
    id: 'bindPte',
    what: 'GPU bind: each page-table entry',
    ns: 15.6,
    provenance: 'derived',
    source: `(10 us - 2 us) / 511; ${THP}`,
  },
  copyPage: {
    id: 'copyPage',
    what: 'device copy of a 4 KiB page',
    ns: 436,
    provenance: 'derived',
    source: `9.4 GB/s in 4 KiB pieces; ${THP}`,
  },
  copyThpPage: {
    id: 'copyThpPage',
    what: 'device copy of 4 KiB inside a 2 MiB piece',
    ns: 207,
    provenance: 'derived',
    source: `19.8 GB/s in one 2 MiB piece; ${THP}`,
  },
  notifierRound: {
    id: 'notifierRound',
    what: 'one MMU notifier round',
    ns: 1000,
    provenance: 'assumed',
    source: 'no published figure',
  },
};
