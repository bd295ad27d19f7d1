import { type Pfn, PMD_ORDER } from '@gpusvm/kernel';
import { prepareAnonVma } from './anon-vma.ts';
import { FOLIO_ANON, FOLIO_DEVICE, FOLIO_DEVICE_MASK } from './folio-flags.ts';
import { mapPage, mapPmd } from './map-entry.ts';
import { MIGRATE_PFN_COMPOUND, MIGRATE_PFN_MIGRATE } from './migrate-pfns.ts';
import type { MigrateVma } from './migrate-vma.ts';
import {
  PTE_ANON_EXCLUSIVE,
  PTE_DEVICE,
  PTE_DIRTY,
  PTE_KIND,
  PTE_PRESENT,
  PTE_WRITE,
  PTE_ZERO,
} from './pte.ts';

/**
 * Map a destination page where there was a hole or a zero page (migrate_vma_insert_page), if there still is one. Asks
 * the fault site `hmm.migrate_pte_alloc` where a page table is missing. Does not sleep.
 *
 * @returns whether it was inserted; `src` then is exactly MIGRATE, else 0.
 */
export function insertPage(args: MigrateVma, slot: number): boolean {
  const { mm, vma, src, dst } = args;
  const page = args.startPage + slot;
  src.flags[slot] = 0;
  if (!vma!.anonymous || mm.unstable || vma!.uffd !== null) return false;
  let node = mm.pageTable.nodeOf(page);
  if (node === null) {
    if (mm.folios.migratePteSite.shouldFail()) return false;
    node = mm.pageTable.makeTable(Math.floor(page / 512));
  }
  if (node.huge !== 0) return false;
  const kind = node.bits[page & 511]! & PTE_KIND;
  if (kind !== 0 && kind !== PTE_ZERO) return false;
  const pfn = dst.pfn[slot]!;
  mapPage(mm, node, page & 511, pfn, newBits(args, pfn));
  mm.folios.flags[pfn]! |= FOLIO_ANON;
  prepareAnonVma(mm, vma!);
  src.flags[slot] = MIGRATE_PFN_MIGRATE;
  return true;
}

/**
 * As {@link insertPage} for a PMD-sized hole and a folio of PMD order (migrate_vma_insert_huge_pmd_page). Does not
 * sleep.
 */
export function insertPmd(args: MigrateVma, slot: number): boolean {
  const { mm, vma, src, dst } = args;
  const page = args.startPage + slot;
  const pfn = dst.pfn[slot]!;
  const node = mm.pageTable.nodeOf(page);
  const empty = node === null || (node.huge & PTE_KIND) === PTE_ZERO;
  const fits =
    vma!.anonymous && !mm.unstable && vma!.uffd === null && (page & 511) === 0 && vma!.fitsPmd(page);
  src.flags[slot] = 0;
  if (!empty || !fits || mm.folios.order(pfn) !== PMD_ORDER || mm.folios.migratePteSite.shouldFail())
    return false;
  if (node !== null) mm.pageTable.remove(node);
  mapPmd(mm, Math.floor(page / 512), pfn, newBits(args, pfn));
  mm.folios.flags[pfn]! |= FOLIO_ANON;
  prepareAnonVma(mm, vma!);
  src.flags[slot] = MIGRATE_PFN_MIGRATE | MIGRATE_PFN_COMPOUND;
  return true;
}

function newBits(args: MigrateVma, pfn: Pfn): number {
  const { folios } = args.mm;
  const kind = (folios.flags[pfn]! & FOLIO_DEVICE_MASK) === FOLIO_DEVICE ? PTE_DEVICE : PTE_PRESENT;
  return kind | PTE_ANON_EXCLUSIVE | (args.vma!.write ? PTE_WRITE | PTE_DIRTY : 0);
}
