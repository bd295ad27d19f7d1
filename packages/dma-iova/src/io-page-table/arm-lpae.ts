import type { IoPageTableFormat } from './format.ts';

/** Arm LPAE stage 1, 4 KiB granule (io-pgtable-arm.c of 7.3): warns at holes and refuses to split a block. */
export const ARM_LPAE: IoPageTableFormat = {
  name: 'arm-lpae',
  summary: 'Arm LPAE: leaves 4K/2M/1G; overlap is -EEXIST with a warning; holes warn and end the unmap',
  source: 'drivers/iommu/io-pgtable-arm.c, 7.3.4 (read, not executed)',
  levels: { min: 3, max: 4, usual: 4 },
  outputBits: 48,
  leafOrders: [0, 9, 18],
  occupied: 'eexist-warn',
  unmap: {
    hole: 'stop',
    missingTable: 'stop',
    returns: 'cleared',
    // A table goes when one unmap step of a bigger page size meets its table item, that is when it is covered.
    freeTables: 'covered',
    warns: true,
    endInsideLeaf: 'refuse',
    startInsideLeaf: 'refuse',
  },
  // Without range commands one TLBI a granule is sent; 18 keeps big ranges from flushing the domain.
  maxInvalidationOrder: 18,
};
