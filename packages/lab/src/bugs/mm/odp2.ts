import { HMM_PFN_VALID } from '@gpusvm/hmm';
import type { MmBug } from './mm-bug.ts';
import { FIRST } from './mm-bug.ts';

/**
 * A lookup without a fault has found a hole and cleared VALID, but DMA_MAPPED is sticky: hmm_dma_unmap_pfn then leaves the
 * entry alone, umem_odp clears all its flags, and nobody knows of the mapping any more when the page is freed. The patched
 * region does that lookup at the beginning of its callback.
 */
export const ODP2: MmBug = {
  id: 'ODP2',
  title: 'an entry loses VALID and keeps DMA_MAPPED: its mapping is never undone',
  source: 'drivers/infiniband/core/umem_odp.c and mm/hmm.c of 7.3, latent',
  evidence: 'read',
  finds: 'S19',
  rdma: {},
  *prepare({ odp }) {
    yield* odp!.open();
  },
  patch({ odp }) {
    const region = odp!;
    const unmap = region.unmapDmaPages.bind(region);
    region.unmapDmaPages = (fromPage, toPage) => {
      const { flags } = region.map.pfns;
      for (let page = fromPage; page < toPage; page++) flags[page - FIRST]! &= ~HMM_PFN_VALID;
      unmap(fromPage, toPage);
    };
  },
  tasks: {
    'RDMA fault': ({ odp }) => odp!.fault(FIRST, 1, true),
    process: ({ mm }) => mm.madviseDontneed(FIRST, 1),
  },
};
