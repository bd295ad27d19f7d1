import { HMM_PFN_DMA_MAPPED, HMM_PFN_VALID } from '@gpusvm/hmm';
import type { MmRule } from '../../mm/mm-rule.ts';

/**
 * S20. hmm_dma_unmap_pfn (mm/hmm.c) undoes only entries that are VALID and DMA_MAPPED: a lookup that clears VALID and
 * keeps the sticky DMA_MAPPED leaves a mapping that nobody will undo (still so in 7.3).
 */
export const DMA_FLAGS: MmRule = {
  id: 'S20',
  name: 'DMA_FLAGS',
  severity: 'L',
  statement: 'an entry that is mapped for DMA is valid, and a DMA map is freed when none is left',
  checks: {
    result({ startPage, endPage, pfns }, state) {
      for (let slot = 0; slot < endPage - startPage; slot++) {
        if ((pfns.flags[slot]! & (HMM_PFN_DMA_MAPPED | HMM_PFN_VALID)) !== HMM_PFN_DMA_MAPPED) continue;
        state.report(
          DMA_FLAGS,
          `the entry of page ${startPage + slot} is mapped for DMA and not valid any more`,
        );
      }
    },
    dmaFree({ device, mapped }, state) {
      if (mapped > 0)
        state.report(
          DMA_FLAGS,
          `the DMA map of ${device} is freed with ${mapped} ${mapped === 1 ? 'entry' : 'entries'} mapped`,
        );
    },
  },
};
