import { DMA_BIDIRECTIONAL, dmaIovaUnlink } from '@gpusvm/dma-iova';
import type { Task } from '@gpusvm/kernel';
import { FIRST, type MmBug, type MmWorld } from './mm-bug.ts';

const PAGE = 4096;
const PAGES = 3;

/**
 * The wish of the debate, one unlink for a whole invalidation, taken literally: it runs across entries that were never
 * linked, and the unmap of the IO page table stops at the first of them (P12 for on-demand paging).
 */
export const HMM_B9: MmBug = {
  id: 'HMM-B9',
  title: 'one unlink for an invalidation stops at the first entry that was never linked',
  source: 'debate of 2026-01-28/29, 20260129101427.GE10992@unreal',
  evidence: 'read',
  finds: 'I6',
  pages: PAGES,
  rdma: { unmap: 'single-shot' },
  *prepare({ odp }) {
    yield* odp!.open();
    yield* odp!.fault(FIRST, 1, true);
    yield* odp!.fault(FIRST + 2, 1, true);
  },
  patch(w) {
    const region = w.odp!;
    region.unmapDmaPages = (fromPage, toPage) => {
      const from = fromPage - FIRST;
      const to = toPage - FIRST;
      dmaIovaUnlink(w.rdma!, region.map.state, from * PAGE, (to - from) * PAGE, DMA_BIDIRECTIONAL, 0);
      region.map.pfns.flags.fill(0, from, to);
    };
  },
  tasks: { process: unmapAll },
};

function* unmapAll({ mm }: MmWorld): Task<void> {
  yield* mm.munmap(FIRST, PAGES);
}
