import {
  type DmaDataDirection,
  type DmaDevice,
  dmaIovaDestroy,
  dmaIovaFree,
  dmaIovaLink,
  dmaIovaSync,
  dmaIovaUnlink,
} from '@gpusvm/dma-iova';
import { PAGE_SIZE } from '@gpusvm/kernel';
import { begin, mapEach, reserve, unmapEach } from './iova-common.ts';
import type { MapState } from './map-state.ts';
import type { MapStrategy } from './strategy.ts';

/**
 * Reserve once, link every folio directly behind the one before: holes take no address space, so one unlink over
 * `[0, offset)` meets no hole. A page's address is what was recorded, not `base + slot * PAGE_SIZE`.
 */
export const iovaPacked: MapStrategy = {
  name: 'iova-packed',
  summary: 'one reservation, pages linked back to back, one sync, one unlink: what landed in Linux 7.2',
  source: '20260205041921.3781292-1-matthew.brost@intel.com (v4); 37ad039fb367, 2e0cd372b897',
  map(dev, state, pages, npages, dir, iovaAllowed) {
    if (pages.count === 0) return 0;
    begin(state);
    if (!reserve(dev, state, npages, iovaAllowed)) return mapEach(dev, state, pages, dir);
    const { pfn, order, addr, count } = pages;
    for (let j = 0; j < count; j++) {
      const size = PAGE_SIZE << order[j]!;
      const err = dmaIovaLink(dev, state.iova, pfn[j]! * PAGE_SIZE, state.offsetBytes, size, dir, 0);
      if (err !== 0) return err;
      addr[j] = state.iova.addr + state.offsetBytes;
      state.offsetBytes += size;
      state.mapped = j + 1;
    }
    return dmaIovaSync(dev, state.iova, 0, state.offsetBytes);
  },
  unmap(dev, state, pages, dir) {
    if (!state.active) return;
    if (state.usesIova) unmapPrefix(dev, state, dir);
    else unmapEach(dev, state, pages, dir);
    state.reset();
  },
};

/**
 * The reservation's first `offsetBytes` bytes are linked without a hole. As landed (7.2) they went through
 * dma_iova_destroy, which then freed only that prefix (bugs G1, P9); since 0bc7c196f3ab gpusvm unlinks and frees
 * by itself, and 7.3's destroy does the same.
 */
function unmapPrefix(dev: DmaDevice, state: MapState, dir: DmaDataDirection): void {
  if (dev.machine.profile.gpusvm.unmapMode === 'destroy') {
    dmaIovaDestroy(dev, state.iova, state.offsetBytes, dir, 0);
    return;
  }
  if (state.offsetBytes !== 0) dmaIovaUnlink(dev, state.iova, 0, state.offsetBytes, dir, 0);
  dmaIovaFree(dev, state.iova);
}
