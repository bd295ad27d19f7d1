import { ENTRY_KINDS, type EntryKind, type Mm, PTE_KIND } from '@gpusvm/hmm';

const EVERYTHING = Number.MAX_SAFE_INTEGER;

/** An entry of a page table that is not none. */
export interface PageEntry {
  readonly page: number;
  /** Page frame that it names. */
  readonly pfn: number;
  readonly kind: EntryKind;
}

/** Every entry of an address space, a PMD leaf as one entry at its first page. Cost: what is populated. */
export function* entries({ pageTable }: Mm): Generator<PageEntry> {
  for (
    let node = pageTable.next(0, EVERYTHING);
    node !== null;
    node = pageTable.next(node.index + 1, EVERYTHING)
  ) {
    const { bits, pfn, startPage, huge, hugePfn } = node;
    if (huge !== 0) yield { page: startPage, pfn: hugePfn, kind: ENTRY_KINDS[huge & PTE_KIND]! };
    for (let slot = 0; slot < bits.length; slot++) {
      if (bits[slot] === 0) continue;
      yield { page: startPage + slot, pfn: pfn[slot]!, kind: ENTRY_KINDS[bits[slot]! & PTE_KIND]! };
    }
  }
}
