import { COSTS } from './constants.ts';

/** Counter values of one phase by full name, such as `dma.walk`. */
export type Counts = (name: string) => number;

/**
 * Modelled time of DMA mapping and unmapping, in nanoseconds.
 *
 * Calls that descend a page table are charged for the descent and its first entry; the entries beyond that for
 * themselves. Without a translating IOMMU nothing descends and only bouncing costs anything.
 */
export function dmaTimeNs(count: Counts): number {
  const walks = count('dma.walk');
  const maps = count('dma.callLink') + count('dma.callMap');
  const unmaps = count('dma.callUnlink') + count('dma.callUnmap');
  const bounce = count('dma.swiotlb') * COSTS.bouncePage.ns;
  if (walks === 0) return bounce;
  const lookups = Math.max(0, walks - maps - unmaps);
  const furtherEntries = Math.max(0, count('dma.pteW') - maps - unmaps);
  return (
    bounce +
    maps * COSTS.mapCall.ns +
    count('dma.callLink') * COSTS.linkCall.ns +
    unmaps * COSTS.unmapCall.ns +
    furtherEntries * COSTS.pte.ns +
    lookups * COSTS.lookup.ns +
    count('dma.tblAlloc') * COSTS.table.ns +
    count('dma.iotlbInv') * COSTS.iotlbInvalidation.ns +
    count('dma.fqEnt') * COSTS.flushQueueEntry.ns +
    count('dma.fqFlushAll') * COSTS.flushAll.ns +
    count('dma.rcHit') * COSTS.iovaCached.ns +
    count('dma.rbAlloc') * COSTS.iovaTree.ns +
    count('dma.rbStep') * COSTS.iovaTreeStep.ns
  );
}
