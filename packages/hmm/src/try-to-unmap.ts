import type { Pfn, Task } from '@gpusvm/kernel';
import { exclusiveIsUnmapped } from './exclusive-entry.ts';
import { FOLIO_DIRTY, FOLIO_LAZYFREE } from './folio-flags.ts';
import type { FolioTable } from './folio-table.ts';
import { unmapFolioPage } from './map-entry.ts';
import type { Mm } from './mm.ts';
import type { PmdNode } from './page-table.ts';
import {
  MARKER_HWPOISON,
  PTE_ANON_EXCLUSIVE,
  PTE_DIRTY,
  PTE_EXCLUSIVE,
  PTE_KIND,
  PTE_MARKER,
  PTE_SWAP,
} from './pte.ts';
import { walkMappings } from './unmap-folio.ts';

/** What an entry becomes that is unmapped for good. */
export type UnmapMode =
  /** Swap entries; the folio is in the swap cache. */
  | 'swap'
  /** None, if the page is clean and nobody else has a reference. */
  | 'lazyfree'
  /** None: the page cache still has the page. */
  | 'file'
  /** A hwpoison marker. */
  | 'hwpoison';

/**
 * Unmap a folio in every address space (try_to_unmap). Each address space that maps it gets a CLEAR notification. The
 * caller holds the folio lock and a reference; may sleep in callbacks. Entries of locked VMAs stay, and so do those of
 * a lazily freed folio that was written meanwhile; look at the map count afterwards.
 */
export function tryToUnmap(folios: FolioTable, head: Pfn, mode: UnmapMode): Task<void> {
  const visit = (mm: Mm, node: PmdNode, slot: number): void => {
    if (mode !== 'hwpoison' && mm.vmas.lookup(node.startPage + slot)?.locked === true) return;
    if ((node.bits[slot]! & PTE_KIND) === PTE_EXCLUSIVE && exclusiveIsUnmapped(folios)) return;
    unmapEntry(folios, node, slot, head, mode);
  };
  return walkMappings(folios, head, true, visit, () => {});
}

function unmapEntry(folios: FolioTable, node: PmdNode, slot: number, head: Pfn, mode: UnmapMode): void {
  const bits = node.bits[slot]!;
  const pfn = node.pfn[slot]!;
  if (mode === 'lazyfree') {
    // One reference is the reclaimer's. A dirty page is worth keeping after all.
    const { other, pins } = folios.references(head);
    if ((folios.flags[head]! & FOLIO_LAZYFREE) === 0 || other !== 0 || pins !== 0) return;
    if ((bits & PTE_DIRTY) !== 0 || (folios.flags[head]! & FOLIO_DIRTY) !== 0) {
      folios.flags[head]! &= ~FOLIO_LAZYFREE;
      return;
    }
  }
  if ((bits & PTE_DIRTY) !== 0) folios.flags[head]! |= FOLIO_DIRTY;
  if (mode === 'swap') {
    const swapSlot = folios.swap.slotOf(head) + (pfn - head);
    folios.swap.duplicate(swapSlot);
    node.bits[slot] = PTE_SWAP | (bits & PTE_ANON_EXCLUSIVE);
    node.pfn[slot] = swapSlot;
  } else if (mode === 'hwpoison') {
    node.bits[slot] = PTE_MARKER;
    node.pfn[slot] = MARKER_HWPOISON;
  } else {
    node.bits[slot] = 0;
    node.used--;
  }
  unmapFolioPage(folios, pfn);
}

/** Whether an entry is a marker of one kind. */
export function isMarker(node: PmdNode, slot: number, marker: number): boolean {
  return node.huge === 0 && (node.bits[slot]! & PTE_KIND) === PTE_MARKER && node.pfn[slot] === marker;
}
