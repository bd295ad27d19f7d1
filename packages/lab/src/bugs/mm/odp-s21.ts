import type { Task } from '@gpusvm/kernel';
import { FIRST, type MmBug, type MmWorld } from './mm-bug.ts';

/**
 * Memory of a peer that is reached through the host bridge goes through the IOMMU, as MMIO: nothing may maintain caches for
 * it, or bounce it. The patched map forgets the attribute (D2 in hmm_dma_map_pfn).
 */
export const ODP_S21: MmBug = {
  id: 'ODP-S21',
  title: 'memory of a peer behind the host bridge is mapped without DMA_ATTR_MMIO',
  source: 'mm/hmm.c of 7.3, hmm_dma_map_pfn',
  evidence: 'inferred',
  finds: 'S21',
  rdma: { peerSwitch: 'switch 1' },
  *prepare({ odp }) {
    yield* odp!.open();
  },
  patch({ odp }) {
    odp!.map.attributes = () => 0;
  },
  tasks: { 'RDMA fault': fault },
};

function* fault({ odp, mm }: MmWorld): Task<void> {
  yield* odp!.fault(FIRST, 1, true);
  yield* mm.munmap(FIRST, 1);
}
