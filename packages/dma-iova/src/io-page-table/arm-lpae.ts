import type { IoPageTableFormat } from './format.ts';

/** Arm LPAE stage 1, 4 KiB granule (io-pgtable-arm.c of 7.3): warns at holes and refuses to split a block. */
export const ARM_LPAE: IoPageTableFormat = {
  name: 'arm-lpae',
  summary: 'Arm LPAE: leaves 4K/2M/1G; overlap is -EEXIST with a warning; holes warn and end the unmap',
  source: 'drivers/iommu/io-pgtable-arm.c, 7.3.4 (read, not executed)',
  granuleOrder: 0,
  bitsPerLevel: 9,
  levels: { min: 3, max: 4, usual: 4 },
  startLevels: 0,
  inputBits: 48,
  outputBits: 48,
  leafOrders: [0, 9, 18],
  occupied: 'eexist-warn',
  unaligned: 'einval',
  noGapsWhenCaching: false,
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

/** The same with 16 KiB pages: tables of 2048 entries, leaves 16K and 32M. */
export const ARM_LPAE_16K: IoPageTableFormat = {
  ...ARM_LPAE,
  name: 'arm-lpae-16k',
  summary: 'Arm LPAE, 16 KiB granule: leaves 16K/32M; otherwise as with 4 KiB',
  granuleOrder: 2,
  bitsPerLevel: 11,
  levels: { min: 3, max: 4, usual: 4 },
  leafOrders: [2, 13],
};

/** The same with 64 KiB pages: tables of 8192 entries, leaves 64K and 512M. */
export const ARM_LPAE_64K: IoPageTableFormat = {
  ...ARM_LPAE,
  name: 'arm-lpae-64k',
  summary: 'Arm LPAE, 64 KiB granule: leaves 64K/512M; otherwise as with 4 KiB',
  granuleOrder: 4,
  bitsPerLevel: 13,
  levels: { min: 2, max: 3, usual: 3 },
  leafOrders: [4, 17],
};
