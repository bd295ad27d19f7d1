/** The entry has a usable pfn; as an input: fault the page if it is absent (HMM_PFN_VALID, HMM_PFN_REQ_FAULT). */
export const HMM_PFN_VALID = 1;
/** The CPU entry is writable; as an input: fault it writable (HMM_PFN_WRITE, HMM_PFN_REQ_WRITE). */
export const HMM_PFN_WRITE = 2;
/** Nothing can be mapped here (HMM_PFN_ERROR). */
export const HMM_PFN_ERROR = 4;
/** Sticky: a DMA mapping exists. */
export const HMM_PFN_DMA_MAPPED = 8;
/** Sticky: peer-to-peer memory. */
export const HMM_PFN_P2PDMA = 16;
/** Sticky: peer-to-peer memory addressed on the bus. */
export const HMM_PFN_P2PDMA_BUS = 32;
export const HMM_PFN_REQ_FAULT: number = HMM_PFN_VALID;
export const HMM_PFN_REQ_WRITE: number = HMM_PFN_WRITE;
/** Bits that survive every write of an entry. */
export const HMM_PFN_STICKY: number = HMM_PFN_DMA_MAPPED | HMM_PFN_P2PDMA | HMM_PFN_P2PDMA_BUS;
/** Where the order of the CPU mapping begins. */
export const HMM_PFN_ORDER_SHIFT = 8;

/** log2 of the 4K pages that the CPU maps with the entry's mapping (hmm_pfn_to_map_order). */
export function hmmPfnToMapOrder(flags: number): number {
  return (flags >> HMM_PFN_ORDER_SHIFT) & 31;
}

/** The hmm_pfns array: one entry for each 4K page, pfn and flags apart. */
export class HmmPfns {
  /** -1 when the entry has none. */
  readonly pfn: Float64Array;
  readonly flags: Uint16Array;

  constructor(pages: number, pfn?: Float64Array, flags?: Uint16Array) {
    this.pfn = pfn ?? new Float64Array(pages).fill(-1);
    this.flags = flags ?? new Uint16Array(pages);
  }

  /** Entries that live in arrays of somebody else, for instance a part of a larger array. */
  static over(pfn: Float64Array, flags: Uint16Array): HmmPfns {
    return new HmmPfns(pfn.length, pfn, flags);
  }
}
