import { HMM_PFN_P2PDMA, HMM_PFN_P2PDMA_BUS } from '@gpusvm/hmm';
import type { MmRule } from '../../mm/mm-rule.ts';

/**
 * S21. hmm_dma_map_pfn and hmm_dma_unmap_pfn (mm/hmm.c): memory addressed on the bus does not pass the IOMMU; memory of
 * a peer behind the host bridge does, as MMIO, so that nobody maintains caches for it.
 */
export const P2PDMA: MmRule = {
  id: 'S21',
  name: 'P2PDMA',
  severity: 'C',
  statement:
    'bus-addressed peer memory never reaches the IOMMU; other peer memory is mapped and unmapped as MMIO',
  checks: {
    dma({ phase, device, page, flags, iommu, mmio }, state) {
      const step = phase === 'map' ? 'mapped' : 'unmapped';
      if ((flags & HMM_PFN_P2PDMA_BUS) !== 0 && iommu)
        state.report(P2PDMA, `page ${page} of ${device} is bus-addressed and ${step} in the IOMMU`);
      else if ((flags & HMM_PFN_P2PDMA) !== 0 && iommu && !mmio)
        state.report(
          P2PDMA,
          `page ${page} of ${device} is memory of a peer and ${step} without DMA_ATTR_MMIO`,
        );
    },
  },
};
