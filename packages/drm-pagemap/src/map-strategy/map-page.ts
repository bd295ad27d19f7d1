import { begin, mapEach, unmapEach } from './iova-common.ts';
import type { MapStrategy } from './strategy.ts';

/** One dma_map_page a folio: an IOVA, a descent and, when unmapped in strict mode, an invalidation for each. */
export const mapPage: MapStrategy = {
  name: 'map-page',
  summary: 'one dma_map_page per page: before the IOVA series',
  source: 'drm_gpusvm and drm_pagemap up to Linux 7.1',
  map(dev, state, pages, _npages, dir) {
    if (pages.count === 0) return 0;
    begin(state);
    return mapEach(dev, state, pages, dir);
  },
  unmap(dev, state, pages, dir) {
    if (!state.active) return;
    unmapEach(dev, state, pages, dir);
    state.reset();
  },
};
