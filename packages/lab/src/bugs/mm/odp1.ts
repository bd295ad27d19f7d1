import { HmmPfns } from '@gpusvm/hmm';
import type { Task } from '@gpusvm/kernel';
import { FIRST, type MmBug, type MmWorld } from './mm-bug.ts';

const HUGE = 512;

/**
 * The kernel lets hmm_range_fault fill the PFN list of the map by 4K page, and maps it by entry of `page_shift`: entry 1 is
 * mapped to the second 4K page, not to the second huge page. The patched region fills the list as the kernel does.
 */
export const ODP1: MmBug = {
  id: 'ODP1',
  title: 'a list of page frames is filled by 4K page and mapped by entry of 2 MiB',
  source: 'drivers/infiniband/core/umem_odp.c of 7.3, latent',
  evidence: 'read',
  finds: 'outcome',
  ramPages: 4096,
  pages: 2 * HUGE,
  rdma: { pageShift: 21 },
  *prepare({ odp }) {
    yield* odp!.open();
  },
  patch(w) {
    const region = w.odp!;
    const { pfn, flags } = region.map.pfns;
    region.window = (startPage, endPage) =>
      HmmPfns.over(
        pfn.subarray(startPage - FIRST, endPage - FIRST),
        flags.subarray(startPage - FIRST, endPage - FIRST),
      );
    region.fold = () => {};
  },
  outcome: ({ results }) => {
    const seen = results.get('device');
    return seen === HUGE + 1 ? null : `the device reads ${seen} in the second huge page, not ${HUGE + 1}`;
  },
  tasks: { device: read },
};

function* read({ odp, results }: MmWorld): Task<void> {
  const region = odp!;
  yield* region.fault(FIRST, 2 * HUGE, true);
  results.set('device', region.deviceRead(FIRST + HUGE));
}
