import { hmmDmaMapAlloc } from '@gpusvm/hmm';
import type { Task } from '@gpusvm/kernel';
import type { MmBug, MmWorld } from './mm-bug.ts';

/**
 * A software RDMA device reaches memory by the CPU and has no device for DMA. The patched region asks for a DMA map all the
 * same, and hmm_dma_map_alloc follows the null pointer.
 */
export const H3: MmBug = {
  id: 'H3',
  title: 'a virtual RDMA device registers a region for on-demand paging, which asks its missing DMA device',
  source: 'fix for 1efe8c0670d6 (rxe)',
  evidence: 'read',
  finds: 'exception',
  rdma: { virtual: true },
  patch(w) {
    const region = w.odp!;
    region.allocMap = () => hmmDmaMapAlloc(w.rdma!, region.map, 1, 4096);
  },
  tasks: { driver: register },
};

function* register({ odp }: MmWorld): Task<void> {
  yield* odp!.open();
  yield* odp!.close();
}
