import {
  type DmaDataDirection,
  type DmaDevice,
  dmaIovaDestroy,
  dmaIovaLink,
  dmaIovaSync,
} from '@gpusvm/dma-iova';
import { type Errno, PAGE_SIZE } from '@gpusvm/kernel';
import { begin, mapEach, reserve, unmapEach } from './iova-common.ts';
import type { MapState } from './map-state.ts';
import type { MapStrategy } from './strategy.ts';

/**
 * Every page at its own place and a stand-in under every hole, so that one destroy meets none. The stand-in is a
 * page of the same call: the last one before the hole, the first one for holes at the front. It costs a link call a
 * hole page, and the device can reach it at addresses where nothing was asked for (`MapState.filledSlots`).
 *
 * Modelled after patches 02 and 04, which link the stand-in page by page. Patch 05 filled holes with one long link
 * that began at the stand-in and so mapped the pages behind it too (bug RFC3-7); that is not what is done here.
 */
export const iovaDummyFill: MapStrategy = {
  name: 'iova-dummy-fill',
  summary:
    'one reservation, pages at their slot, a stand-in page linked under every hole, one destroy: RFC v3',
  source: '20260128004841.2436896-1-matthew.brost@intel.com (RFC v3, patches 02 and 04)',
  map(dev, state, pages, npages, dir, iovaAllowed) {
    if (pages.count === 0) return 0;
    begin(state);
    if (!reserve(dev, state, npages, iovaAllowed)) return mapEach(dev, state, pages, dir);
    const { slot, pfn, order, addr, count } = pages;
    let standIn = pfn[0]!;
    for (let j = 0; j < count; j++) {
      let err = fill(dev, state, standIn, slot[j]!, dir);
      if (err !== 0) return err;
      const size = PAGE_SIZE << order[j]!;
      err = dmaIovaLink(dev, state.iova, pfn[j]! * PAGE_SIZE, state.offsetBytes, size, dir, 0);
      if (err !== 0) return err;
      addr[j] = state.iova.addr + state.offsetBytes;
      state.offsetBytes += size;
      state.mapped = j + 1;
      standIn = pfn[j]!;
    }
    const err = fill(dev, state, standIn, npages, dir);
    return err === 0 ? dmaIovaSync(dev, state.iova, 0, state.offsetBytes) : err;
  },
  unmap(dev, state, pages, dir) {
    if (!state.active) return;
    if (state.usesIova) dmaIovaDestroy(dev, state.iova, state.offsetBytes, dir, 0);
    else unmapEach(dev, state, pages, dir);
    state.reset();
  },
};

/** Link the stand-in under every slot from the cursor up to `end`. */
function fill(dev: DmaDevice, state: MapState, standIn: number, end: number, dir: DmaDataDirection): Errno {
  while (state.offsetBytes < end * PAGE_SIZE) {
    const err = dmaIovaLink(dev, state.iova, standIn * PAGE_SIZE, state.offsetBytes, PAGE_SIZE, dir, 0);
    if (err !== 0) return err;
    state.offsetBytes += PAGE_SIZE;
    state.filledSlots++;
  }
  return 0;
}
