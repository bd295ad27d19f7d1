import type { IoPageTableFormat } from './format.ts';

/** Intel VT-d second stage on generic_pt: 4K, 2M and 1G leaves, no contiguous runs (fmt/vtdss.h). */
export const VTD: IoPageTableFormat = {
  name: 'vtd',
  summary: 'VT-d second stage, generic_pt: leaves 4K/2M/1G; an unmap ends at the first hole',
  source: 'drivers/iommu/generic_pt/iommu_pt.h and fmt/vtdss.h, 6.19 to 7.3.4',
  granuleOrder: 0,
  bitsPerLevel: 9,
  levels: { min: 3, max: 5, usual: 4 },
  startLevels: 0,
  inputBits: 57,
  outputBits: 52,
  leafOrders: [0, 9, 18],
  occupied: 'eaddrinuse',
  unaligned: 'enxio',
  noGapsWhenCaching: false,
  unmap: {
    hole: 'stop',
    missingTable: 'stop',
    returns: 'cleared',
    freeTables: 'covered',
    warns: false,
    endInsideLeaf: 'remove',
    startInsideLeaf: 'refuse',
  },
  maxInvalidationOrder: 18,
};

/** VT-d before generic_pt: holes are skipped and the requested size is returned (intel_iommu_unmap of 6.12). */
export const VTD_LEGACY: IoPageTableFormat = {
  ...VTD,
  name: 'vtd-legacy',
  summary: 'VT-d before generic_pt: an unmap steps over holes and always reports the requested size',
  source: 'drivers/iommu/intel/iommu.c, 6.12',
  unaligned: 'einval',
  unmap: {
    ...VTD.unmap,
    hole: 'skip',
    missingTable: 'skip',
    returns: 'requested',
    startInsideLeaf: 'remove',
  },
};
