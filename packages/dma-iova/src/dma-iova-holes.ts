import { needsCacheMaintenance } from './arch-sync-dma.ts';
import type { DmaDataDirection } from './attributes.ts';
import type { DmaDevice } from './device.ts';
import { C_CALL_UNLINK } from './dma-counters.ts';
import { syncForCpuSlowly } from './dma-iova-bounce.ts';
import { type DmaIovaState, reservedPages } from './dma-iova-state.ts';
import { freeReservation } from './dma-iova.ts';
import { iovaOffset } from './iova-granule.ts';

/** What {@link dmaIovaDestroyHoles} found and did. */
export interface DestroyHolesReport {
  /** Pages unmapped. */
  readonly clearedPages: number;
  /** Maximal runs of pages of the reservation that were not linked. */
  readonly holes: number;
  /** Page offset of the first hole inside the reservation; -1 when there is none. */
  readonly firstHolePage: number;
}

/**
 * Unlink everything that is linked in a reservation, wherever it is, and free the reservation.
 *
 * Ours; no kernel has it. The idea and the name `dma_iova_with_holes_destroy` are from the discussion of RFC v3
 * 04/11 (20260128194540.GA10992@unreal). Empty entries and missing or empty tables are stepped over, tables inside
 * the reservation are freed even when they were partly empty, there is one invalidation for all. A leaf that
 * reaches beyond the reservation is left alone, with a warning. Always strict, like the destroy of 7.3.
 *
 * Never sleeps. One walk plus one load a page of the existing tables; independent of how many links there were.
 *
 * @returns a report; null-like (0, 0, -1) when the device is not translated.
 */
export function dmaIovaDestroyHoles(
  dev: DmaDevice,
  state: DmaIovaState,
  dir: DmaDataDirection,
  attrs: number,
): DestroyHolesReport {
  const domain = dev.domain;
  if (domain === null) return { clearedPages: 0, holes: 0, firstHolePage: -1 };
  dev.counters[C_CALL_UNLINK]!++;
  if (state.swiotlb || needsCacheMaintenance(dev, attrs)) {
    syncForCpuSlowly(dev, state.addr, state.size, dir, attrs, 'skip-holes');
  }
  const page = Math.floor((state.addr - iovaOffset(dev, state.addr)) / 4096);
  const gather = dev.gather;
  gather.reset(false);
  const found = domain.unmapHoles(page, reservedPages(dev, state), gather);
  domain.sync(gather);
  const report = {
    clearedPages: found.clearedPages,
    holes: found.holes,
    firstHolePage: found.firstHolePage < 0 ? -1 : found.firstHolePage - page,
  };
  if (dev.trace.unlink.enabled) {
    const cleared = report.clearedPages * 4096;
    dev.trace.unlink.emit(dev, state, 0, state.size, cleared, dir, attrs, 'dma_iova_with_holes_destroy');
  }
  freeReservation(dev, state, 'dma_iova_with_holes_destroy');
  return report;
}
