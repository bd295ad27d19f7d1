import { needsCacheMaintenance } from './arch-sync-dma.ts';
import type { DmaDataDirection } from './attributes.ts';
import type { DmaDevice } from './device.ts';
import { C_CALL_UNLINK } from './dma-counters.ts';
import { syncForCpuSlowly } from './dma-iova-bounce.ts';
import type { DmaIovaState } from './dma-iova-state.ts';
import { granulePages, iovaOffset } from './iova-granule.ts';
import type { IotlbGather } from './iotlb-gather.ts';
import { warnShortUnmap } from './short-unmap.ts';

/**
 * Unlink several runs of a reservation with one invalidation for all of them: the "bitmap of the caller plus one
 * gather" of specification section 4.
 *
 * Ours; the kernel exports no gather. Each run obeys the rules of {@link dmaIovaUnlink}. Never sleeps. One walk a
 * run, one store a leaf, one invalidation in all (on AMD in caching mode one a run, unless they touch).
 *
 * @param offsetBytes - start of each run from the reservation's address.
 * @param sizeBytes - length of each run.
 * @param count - runs.
 */
export function dmaIovaUnlinkRuns(
  dev: DmaDevice,
  state: DmaIovaState,
  offsetBytes: Float64Array,
  sizeBytes: Float64Array,
  count: number,
  dir: DmaDataDirection,
  attrs: number,
): void {
  const domain = dev.domain;
  if (domain === null) return;
  dev.counters[C_CALL_UNLINK]!++;
  const slow = state.swiotlb || needsCacheMaintenance(dev, attrs);
  const gather = dev.gather;
  gather.reset(false);
  for (let i = 0; i < count; i++) {
    const start = state.addr + offsetBytes[i]!;
    const size = sizeBytes[i]!;
    if (slow) syncForCpuSlowly(dev, start, size, dir, attrs, 'stop-at-hole');
    const pad = iovaOffset(dev, start);
    const page = (start - pad) / 4096;
    const pages = granulePages(dev, size + pad);
    if (!domain.gathersGaps && gather.endPage !== 0 && !touches(gather, page, pages)) domain.sync(gather);
    const unmapped = domain.unmapRange(page, pages, gather);
    if (unmapped !== pages) warnShortUnmap(dev, 'dma_iova_unlink', state.addr, page, pages, unmapped);
    if (dev.trace.unlink.enabled) {
      const offset = offsetBytes[i]!;
      dev.trace.unlink.emit(dev, state, offset, size, unmapped * 4096, dir, attrs, 'dma_iova_unlink_runs');
    }
  }
  domain.sync(gather);
}

function touches(gather: IotlbGather, page: number, pages: number): boolean {
  return page <= gather.endPage && page + pages >= gather.startPage;
}

/**
 * Offsets at which pieces of mixed orders are packed without gaps so that each keeps its natural alignment: largest
 * first, equal orders in their given order. Packed as they come, one single page before a 2 MiB folio turns one
 * leaf into 512.
 *
 * Ours. Two passes over the pieces, O(pieces).
 *
 * @param orders - order of each piece (log2 of pages, at most 31).
 * @param count - pieces.
 * @param offsetPages - out: offset of each piece in pages.
 * @returns pages in all.
 */
export function packDescending(orders: Uint8Array, count: number, offsetPages: Float64Array): number {
  const next = new Float64Array(33);
  for (let i = 0; i < count; i++) next[orders[i]!]! += 2 ** orders[i]!;
  let total = 0;
  for (let order = 32; order >= 0; order--) {
    const pages = next[order]!;
    next[order] = total;
    total += pages;
  }
  for (let i = 0; i < count; i++) {
    const order = orders[i]!;
    offsetPages[i] = next[order]!;
    next[order]! += 2 ** order;
  }
  return total;
}
