import type { Pfn } from '@gpusvm/kernel';
import type { FolioTable } from './folio-table.ts';
import type { Mm } from './mm.ts';
import type { PmdNode } from './page-table.ts';
import { unmapFolioPage } from './map-entry.ts';
import {
  PTE_ANON_EXCLUSIVE,
  PTE_DIRTY,
  PTE_EXCLUSIVE,
  PTE_KIND,
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_WRITE,
} from './pte.ts';
import type { Vma } from './vma.ts';

/**
 * Whether a device-exclusive entry owns a reference but no map count, and remembers whether it was writable: so it is
 * where pages are taken by range (6.12).
 */
export function exclusiveIsUnmapped(folios: FolioTable): boolean {
  return folios.machine.profile.hmm.deviceExclusive === 'range';
}

/** Make a present entry device-exclusive; reference, permission and exclusivity stay. Does not sleep. */
export function setExclusive(folios: FolioTable, node: PmdNode, slot: number): void {
  node.bits[slot] = (node.bits[slot]! & ~PTE_KIND) | PTE_EXCLUSIVE;
  if (exclusiveIsUnmapped(folios)) folios.maps[folios.head(node.pfn[slot]!)]!--;
}

/**
 * Make a device-exclusive entry present again (restore_exclusive_pte). It is writable if the VMA is and the page
 * belongs to the entry alone; in 6.12 if the VMA is and the entry was. The reference stays the entry's. The caller
 * notifies. Does not sleep.
 */
export function restoreExclusive(mm: Mm, vma: Vma, node: PmdNode, slot: number): void {
  const { folios } = mm;
  const unmapped = exclusiveIsUnmapped(folios);
  const old = node.bits[slot]!;
  const writable = vma.write && (old & (unmapped ? PTE_WRITE : PTE_ANON_EXCLUSIVE)) !== 0;
  const write = writable ? PTE_WRITE | PTE_DIRTY : 0;
  const bits = old & ~(PTE_KIND | PTE_WRITE | PTE_PROTNONE);
  node.bits[slot] = bits | PTE_PRESENT | write | (vma.read ? 0 : PTE_PROTNONE);
  if (unmapped) folios.maps[folios.head(node.pfn[slot]!)]!++;
}

/** Drop what a device-exclusive entry owned that was removed; may free the folio. */
export function dropExclusive(folios: FolioTable, pfn: Pfn): void {
  const head = folios.head(pfn);
  if (exclusiveIsUnmapped(folios)) folios.maps[head]!++;
  unmapFolioPage(folios, pfn);
}
