import type { DomainRules } from '@gpusvm/dma-iova/contract';

/** What `IommufdDomain` promises, for the contract suite of the DMA layer. */
export const IOMMUFD_DOMAIN_RULES: DomainRules = {
  leafOrders: [0, 9],
  granuleOrder: 0,
  bitsPerLevel: 9,
  unaligned: 'einval',
  occupied: 'eexist',
  areas: true,
  unmap: {
    hole: 'skip',
    missingTable: 'skip',
    returns: 'mapped',
    freeTables: 'never',
    warns: false,
    endInsideLeaf: 'refuse',
    startInsideLeaf: 'refuse',
  },
};
