import type { Mm } from './mm.ts';
import type { PmdNode } from './page-table.ts';
import { PTE_ANON_EXCLUSIVE, PTE_DIRTY, PTE_KIND, PTE_PRESENT, PTE_PROTNONE, PTE_WRITE } from './pte.ts';
import type { Vma } from './vma.ts';

/**
 * Make a device-exclusive entry present again (restore_exclusive_pte). It is writable if the VMA is and the page
 * belongs to the entry alone. Reference and map count stay the entry's. The caller notifies. Does not sleep.
 */
export function restoreExclusive(mm: Mm, vma: Vma, node: PmdNode, slot: number): void {
  const bits = node.bits[slot]! & ~(PTE_KIND | PTE_WRITE | PTE_PROTNONE);
  const write = vma.write && (bits & PTE_ANON_EXCLUSIVE) !== 0 ? PTE_WRITE | PTE_DIRTY : 0;
  node.bits[slot] = bits | PTE_PRESENT | write | (vma.read ? 0 : PTE_PROTNONE);
}
