import type { Pfn } from '@gpusvm/kernel';

/**
 * The system pages of one array that a mapping strategy maps, one entry a folio, in ascending order of slot.
 * Entry j covers slots `[slot[j], slot[j] + 2^order[j])`; what lies between entries are holes.
 */
export class SystemPages {
  /** Valid entries. */
  count = 0;
  /** Page offset inside the array that is mapped. */
  readonly slot: Int32Array;
  /** First page of the folio. */
  readonly pfn: Float64Array;
  readonly order: Uint8Array;
  /** OUT: DMA address in bytes. Needed again for the unmap. */
  readonly addr: Float64Array;

  /** @param capacity - most entries; the number of pages of the array is always enough. */
  constructor(capacity: number) {
    this.slot = new Int32Array(capacity);
    this.pfn = new Float64Array(capacity);
    this.order = new Uint8Array(capacity);
    this.addr = new Float64Array(capacity);
  }

  /** Append a folio; `slot` is behind all earlier ones. */
  push(slot: number, pfn: Pfn, order: number): void {
    const j = this.count++;
    this.slot[j] = slot;
    this.pfn[j] = pfn;
    this.order[j] = order;
  }

  /** Forget all entries. */
  reset(): void {
    this.count = 0;
  }
}
