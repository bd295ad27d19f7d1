import type { Pfn } from '@gpusvm/kernel';
import type { FolioTable } from './folio-table.ts';
import type { Mm } from './mm.ts';
import type { PmdNode } from './page-table.ts';
import { FOLIO_SWAPCACHE } from './folio-flags.ts';
import { PTE_DEVICE, PTE_EXCLUSIVE, PTE_KIND, PTE_PRESENT, PTE_ZERO } from './pte.ts';

/**
 * Write an entry for one page that was none or zero, with the reference and the map count that it owns
 * (set_pte_at, folio_get, folio_add_*_rmap_pte). Does not sleep. Cost: O(1), nothing is allocated.
 */
export function mapPage(mm: Mm, node: PmdNode, slot: number, pfn: Pfn, bits: number): void {
  const folios = mm.folios;
  const head = folios.head(pfn);
  if (node.bits[slot] === 0) node.used++;
  node.bits[slot] = bits;
  node.pfn[slot] = pfn;
  folios.refs[head]!++;
  folios.maps[head]!++;
  folios.rmap.add(head, folios.orders[head]!, mm.id, node.startPage + slot - (pfn - head));
}

/** As {@link mapPage} for a PMD leaf that maps 512 pages of one folio, which begin at `pfn`. */
export function mapPmd(mm: Mm, index: number, pfn: Pfn, bits: number): PmdNode {
  const folios = mm.folios;
  const head = folios.head(pfn);
  const node = mm.pageTable.makeHuge(index, bits, pfn);
  folios.refs[head]!++;
  folios.maps[head]!++;
  folios.rmap.add(head, folios.orders[head]!, mm.id, node.startPage - (pfn - head));
  return node;
}

/** Drop the map count and the reference of an entry that was removed; may free the folio. */
export function unmapFolioPage(folios: FolioTable, pfn: Pfn): void {
  const head = folios.head(pfn);
  const maps = folios.maps[head]! - 1;
  folios.maps[head] = maps;
  // free_swap_cache: nobody needs a cached page that is neither mapped nor swapped out.
  if (maps === 0 && (folios.flags[head]! & FOLIO_SWAPCACHE) !== 0) folios.swap.tryFreeCache(head);
  folios.put(head);
}

/** Whether an entry owns a reference, and a map count unless it is device-exclusive in 6.12. */
export function ownsPage(bits: number): boolean {
  const kind = bits & PTE_KIND;
  return kind === PTE_PRESENT || kind === PTE_DEVICE || kind === PTE_EXCLUSIVE;
}

/**
 * Replace a PMD leaf by a page table of 512 entries with the same permissions (__split_huge_pmd_locked). The folio
 * stays large. Does not sleep and cannot fail: the table was deposited when the leaf was made.
 */
export function splitPmdLeaf(mm: Mm, node: PmdNode): void {
  const bits = node.huge;
  if ((bits & PTE_KIND) === PTE_ZERO) {
    node.hugePfn = mm.folios.zeroPages.zero();
    // Without memory for the zero page the huge one serves: its first page is as good.
    if (node.hugePfn < 0) node.hugePfn = mm.folios.zeroPages.huge();
    mm.pageTable.splitLeaf(node, 0);
    return;
  }
  if (ownsPage(bits)) {
    const head = mm.folios.head(node.hugePfn);
    mm.folios.refs[head]! += 511;
    mm.folios.maps[head]! += 511;
  }
  mm.pageTable.splitLeaf(node, 1);
}
