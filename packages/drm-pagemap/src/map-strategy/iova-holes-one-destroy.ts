import { dmaIovaDestroy } from '@gpusvm/dma-iova';
import { mapAtSlots, unmapEach } from './iova-common.ts';
import type { MapStrategy } from './strategy.ts';

/**
 * WRONG ON PURPOSE (RFC v1 and v2): each page at `slot * PAGE_SIZE`, holes left empty, and one plain destroy over the
 * whole reservation. On generic page tables the unmap stops at the first hole: the kernel warns, frees the IOVA all
 * the same, and every entry behind the hole stays, for the device to use and for the next owner of the range to
 * stumble over (`-EADDRINUSE`). Legacy VT-d tables skip holes, which is why nobody saw it before 6.19.
 */
export const iovaHolesOneDestroy: MapStrategy = {
  name: 'iova-holes-one-destroy',
  summary:
    'one reservation, pages at their slot, holes left, one plain destroy over all of it: leaks behind holes',
  source:
    '20260123214625.1612365-1-matthew.brost@intel.com (RFC v1), 20260128175531.GR1641016@ziepe.ca (why not)',
  map: mapAtSlots,
  unmap(dev, state, pages, dir) {
    if (!state.active) return;
    if (state.usesIova) dmaIovaDestroy(dev, state.iova, state.offsetBytes, dir, 0);
    else unmapEach(dev, state, pages, dir);
    state.reset();
  },
};
