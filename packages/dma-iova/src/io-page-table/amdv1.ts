import type { IoPageTableFormat } from './format.ts';

/** 2^12 to 2^46 bytes without 2^39: the bitmap 7f7ffffff000. */
const AMD_ORDERS: readonly number[] = Array.from({ length: 35 }, (_, order) => order).filter((o) => o !== 27);

/**
 * AMD v1 on generic_pt: every power of two is a leaf size, as a run of entries with one encoded size. So every
 * link of more than one aligned page behaves like a large leaf.
 */
export const AMDV1: IoPageTableFormat = {
  name: 'amdv1',
  summary: 'AMD v1, generic_pt: leaves of every power of two from 4K; an unmap ends at the first hole',
  source: 'drivers/iommu/generic_pt/iommu_pt.h and fmt/amdv1.h, 6.19 to 7.3.4',
  granuleOrder: 0,
  bitsPerLevel: 9,
  levels: { min: 3, max: 5, usual: 4 },
  // Three levels at first, whatever the hardware can do; a map beyond them adds one (increase_top).
  startLevels: 3,
  inputBits: 57,
  outputBits: 52,
  leafOrders: AMD_ORDERS,
  occupied: 'eaddrinuse',
  unaligned: 'enxio',
  noGapsWhenCaching: true,
  unmap: {
    hole: 'stop',
    missingTable: 'stop',
    returns: 'cleared',
    freeTables: 'covered',
    warns: false,
    endInsideLeaf: 'remove',
    startInsideLeaf: 'refuse',
  },
  maxInvalidationOrder: 51,
};

/**
 * AMD v1 before generic_pt: holes inside a table count as unmapped, a missing table ends the unmap, tables are
 * freed only when a bigger leaf replaces them (iommu_v1_map_pages, iommu_v1_unmap_pages of 6.12).
 */
export const AMD_LEGACY: IoPageTableFormat = {
  ...AMDV1,
  name: 'amd-legacy',
  summary:
    'AMD v1 before generic_pt: holes count as unmapped; ends at a missing table; tables are never freed',
  source: 'drivers/iommu/amd/io_pgtable.c, 6.12',
  unaligned: 'einval',
  noGapsWhenCaching: false,
  unmap: { ...AMDV1.unmap, hole: 'count', freeTables: 'never', startInsideLeaf: 'remove' },
};
