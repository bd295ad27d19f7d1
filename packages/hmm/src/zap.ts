import { dropExclusive } from './exclusive-entry.ts';
import { FOLIO_DIRTY } from './folio-flags.ts';
import { unmapFolioPage, ownsPage } from './map-entry.ts';
import type { Mm } from './mm.ts';
import type { PmdNode } from './page-table.ts';
import { MARKER_GUARD, PTE_DIRTY, PTE_EXCLUSIVE, PTE_KIND, PTE_MARKER, PTE_SWAP } from './pte.ts';

/** What {@link zapRange} does with page tables without an entry. */
export type ZappedTables = 'keep' | 'unmap' | 'reclaim';

/**
 * Remove every entry of a range and drop what the entries own (zap_page_range, unmap_vmas). Leaves that stick out of
 * the range must have been split. A migration entry is just removed: its page belongs to the migrator, who finds
 * nothing to put back. Does not sleep. Cost: O(populated pages).
 *
 * @param tables - what becomes of page tables without an entry: `keep`; `unmap`, the VMA goes: guard markers too, and PMD
 * entries become none where no entry is left (free_pgtables); `reclaim`: the same for tables that were zapped as a whole
 * (CONFIG_PT_RECLAIM), guard markers stay.
 */
export function zapRange(mm: Mm, startPage: number, endPage: number, tables: ZappedTables): void {
  const { gather } = mm.folios;
  gather.begin();
  zapNodes(mm, startPage, endPage, tables);
  gather.end();
}

function zapNodes(mm: Mm, startPage: number, endPage: number, tables: ZappedTables): void {
  const table = mm.pageTable;
  const endPmd = Math.ceil(endPage / 512);
  let node = table.next(Math.floor(startPage / 512), endPmd);
  while (node !== null) {
    const index = node.index;
    if (node.huge !== 0) {
      if (node.startPage < startPage || node.startPage + 512 > endPage) {
        throw new Error(
          `leaf at page ${node.startPage} sticks out of the zapped range ${startPage}..${endPage}`,
        );
      }
      if (ownsPage(node.huge)) unmapFolioPage(mm.folios, node.hugePfn);
      table.remove(node);
    } else {
      const from = Math.max(startPage - node.startPage, 0);
      const to = Math.min(endPage - node.startPage, 512);
      zapTable(mm, node, from, to, tables === 'unmap');
      const free = tables === 'unmap' || (tables === 'reclaim' && to - from === 512);
      if (free && node.used === 0) table.remove(node);
    }
    node = table.next(index + 1, endPmd);
  }
}

function zapTable(mm: Mm, node: PmdNode, from: number, to: number, unmapping: boolean): void {
  const { bits, pfn } = node;
  for (let slot = from; slot < to; slot++) {
    const entry = bits[slot]!;
    if (entry === 0) continue;
    if (!unmapping && (entry & PTE_KIND) === PTE_MARKER && pfn[slot] === MARKER_GUARD) continue;
    bits[slot] = 0;
    node.used--;
    if ((entry & PTE_KIND) === PTE_EXCLUSIVE) {
      dropExclusive(mm.folios, pfn[slot]!);
    } else if (ownsPage(entry)) {
      if ((entry & PTE_DIRTY) !== 0) mm.folios.flags[mm.folios.head(pfn[slot]!)]! |= FOLIO_DIRTY;
      unmapFolioPage(mm.folios, pfn[slot]!);
    } else if ((entry & PTE_KIND) === PTE_SWAP) mm.folios.swap.free(pfn[slot]!);
  }
}
