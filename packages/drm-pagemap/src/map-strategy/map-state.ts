import { DmaIovaState, dmaUseIova } from '@gpusvm/dma-iova';

/** What a strategy has to remember between map and unmap (struct drm_pagemap_iova_state and its relatives). */
export class MapState {
  readonly iova: DmaIovaState = new DmaIovaState();
  /** Bytes from the start of the reservation up to the end of what is linked. */
  offsetBytes = 0;
  /** Entries mapped so far: after an error exactly these are undone. */
  mapped = 0;
  /** Slots filled although nobody asked for them. */
  filledSlots = 0;
  /** A map call was made whose unmap is still owed. */
  active = false;

  /** Whether the pages are linked into a reservation; otherwise each was mapped for itself. */
  get usesIova(): boolean {
    return dmaUseIova(this.iova);
  }

  /** Forget everything; the caller has undone it. */
  reset(): void {
    this.iova.addr = 0;
    this.iova.size = 0;
    this.iova.swiotlb = false;
    this.offsetBytes = 0;
    this.mapped = 0;
    this.filledSlots = 0;
    this.active = false;
  }
}
