import { dmaIovaDestroyHoles } from '@gpusvm/dma-iova';
import { mapAtSlots, unmapEach } from './iova-common.ts';
import type { MapStrategy } from './strategy.ts';

/**
 * The road not taken: pages at `slot * PAGE_SIZE` with holes, torn down by a destroy of its own that steps over
 * them (`dma_iova_with_holes_destroy`, Romanovsky's name; never written). The address of a page is
 * `base + slot * PAGE_SIZE`, so a large folio keeps its alignment and its large entry.
 */
export const iovaHoleTolerant: MapStrategy = {
  name: 'iova-hole-tolerant',
  summary: 'one reservation, pages at their slot, holes left, one destroy that steps over holes',
  source:
    '20260128194540.GA10992@unreal (proposed), aXuld/QOR9gh4fjg@lstrano-desk.jf.intel.com (agreed), not merged',
  map: mapAtSlots,
  unmap(dev, state, pages, dir) {
    if (!state.active) return;
    if (state.usesIova) dmaIovaDestroyHoles(dev, state.iova, dir, 0);
    else unmapEach(dev, state, pages, dir);
    state.reset();
  },
};
