import { DMA_BIDIRECTIONAL, type DmaDevice, dmaIovaUnlinkRuns } from '@gpusvm/dma-iova';
import { FOLIO_DIRTY } from '../folio-flags.ts';
import type { FolioTable } from '../folio-table.ts';
import type { HmmDmaMap } from '../hmm-dma-map.ts';
import { HMM_PFN_DMA_MAPPED, HMM_PFN_P2PDMA, HMM_PFN_P2PDMA_BUS, HMM_PFN_WRITE } from '../hmm-pfns.ts';

const MAPPED = HMM_PFN_DMA_MAPPED | HMM_PFN_P2PDMA | HMM_PFN_P2PDMA_BUS;

/**
 * Undo the DMA mappings of entries `[from, to)` of a map in IOVA mode with one flush for all of them. Pages of peers are
 * left to the caller, since they take other attributes. Pages that were mapped writable become dirty. Does not
 * sleep.
 *
 * @param unmapped - told of each entry, with the flags that it had.
 */
export function unlinkRuns(
  folios: FolioTable,
  dev: DmaDevice,
  map: HmmDmaMap,
  from: number,
  to: number,
  unmapped: (index: number, flags: number) => void,
): void {
  const { flags, pfn } = map.pfns;
  const bytes = map.dmaEntryBytes;
  const offsets = new Float64Array(to - from);
  const sizes = new Float64Array(to - from);
  let runs = 0;
  let open = false;
  for (let index = from; index < to; index++) {
    const linked = (flags[index]! & MAPPED) === HMM_PFN_DMA_MAPPED;
    if (linked && open) sizes[runs - 1]! += bytes;
    if (linked && !open) {
      offsets[runs] = index * bytes;
      sizes[runs++] = bytes;
    }
    open = linked;
    if (!linked) continue;
    unmapped(index, flags[index]!);
    if ((flags[index]! & HMM_PFN_WRITE) !== 0) folios.flags[folios.head(pfn[index]!)]! |= FOLIO_DIRTY;
    flags[index] = 0;
  }
  if (runs > 0)
    dmaIovaUnlinkRuns(dev, map.state, offsets, sizes, runs, DMA_BIDIRECTIONAL, map.attributes(dev, 0));
}
