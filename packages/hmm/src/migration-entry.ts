import type { Pfn } from '@gpusvm/kernel';
import { FOLIO_DEVICE, FOLIO_DEVICE_MASK, FOLIO_PINNED } from './folio-flags.ts';
import type { FolioTable } from './folio-table.ts';
import type { Mm } from './mm.ts';
import type { PmdNode } from './page-table.ts';
import { PTE_ANON_EXCLUSIVE, PTE_DEVICE, PTE_KIND, PTE_MIGRATION, PTE_PRESENT, PTE_ZERO } from './pte.ts';

/**
 * Replace an entry that maps a page by a migration entry and drop its map count and reference. Permissions, dirty
 * and exclusivity are carried. The caller holds the folio lock and a reference of its own.
 */
export function makeMigrationEntry(folios: FolioTable, node: PmdNode, slot: number): void {
  const head = folios.head(node.pfn[slot]!);
  node.bits[slot] = (node.bits[slot]! & ~PTE_KIND) | PTE_MIGRATION;
  folios.maps[head]!--;
  folios.refs[head]!--;
}

/** As {@link makeMigrationEntry} for a PMD leaf. */
export function makeMigrationPmd(folios: FolioTable, node: PmdNode): void {
  const head = folios.head(node.hugePfn);
  node.huge = (node.huge & ~PTE_KIND) | PTE_MIGRATION;
  folios.maps[head]!--;
  folios.refs[head]!--;
}

/**
 * Put page-table entries back wherever migration entries name `from`, in every address space (remove_migration_ptes).
 * The reverse mapping must be with `to` already. Does not sleep. Cost: O(1) for a page with one mapper.
 *
 * @param folios - the table.
 * @param from - head of the folio that the migration entries name.
 * @param to - head of the folio to map; equal to `from` when nothing moved.
 * @param pages - pages of `from`.
 * @param zeroes - map the zero page where a page of zeros would come back (after a THP split).
 */
export function removeMigrationEntries(
  folios: FolioTable,
  from: Pfn,
  to: Pfn,
  pages: number,
  zeroes: boolean = false,
): void {
  const rmap = folios.rmap;
  if (!rmap.isShared(to)) {
    const mm = folios.mms.family(rmap.mmIds[to]!)[0];
    if (mm !== undefined) restoreAt(mm, rmap.bases[to]!, from, to, pages, zeroes);
    return;
  }
  for (const { mm, base } of rmap.places(to)) restoreAt(mm, base, from, to, pages, zeroes);
}

function restoreAt(mm: Mm, base: number, from: Pfn, to: Pfn, pages: number, zeroes: boolean): void {
  const end = base + pages;
  let page = Math.max(base, 0);
  while (page < end) {
    const node = mm.pageTable.nodeOf(page);
    const stop = Math.min(end, page - (page & 511) + 512);
    if (node !== null) {
      if (node.huge !== 0) restorePmd(mm, node, base, from, to);
      else restoreTable(mm, node, page, stop, base, from, to, zeroes);
    }
    page = stop;
  }
}

function restorePmd(mm: Mm, node: PmdNode, base: number, from: Pfn, to: Pfn): void {
  const offset = node.startPage - base;
  if ((node.huge & PTE_KIND) !== PTE_MIGRATION || node.hugePfn !== from + offset) return;
  const folios = mm.folios;
  node.huge = (node.huge & ~PTE_KIND) | kindOf(folios, to);
  node.hugePfn = to + offset;
  folios.refs[to]!++;
  folios.maps[to]!++;
}

function restoreTable(
  mm: Mm,
  node: PmdNode,
  startPage: number,
  endPage: number,
  base: number,
  from: Pfn,
  to: Pfn,
  zeroes: boolean,
): void {
  const folios = mm.folios;
  const { bits, pfn, startPage: nodeStart } = node;
  const kind = kindOf(folios, to);
  for (let page = startPage; page < endPage; page++) {
    const slot = page - nodeStart;
    const entry = bits[slot]!;
    const offset = page - base;
    if ((entry & PTE_KIND) !== PTE_MIGRATION || pfn[slot] !== from + offset) continue;
    if (zeroes && mapZeroInstead(mm, node, slot, to + offset)) continue;
    bits[slot] = (entry & ~PTE_KIND) | kind;
    pfn[slot] = to + offset;
    folios.refs[to]!++;
    folios.maps[to]!++;
  }
}

/** try_to_map_unused_to_zeropage */
function mapZeroInstead(mm: Mm, node: PmdNode, slot: number, pfn: Pfn): boolean {
  const folios = mm.folios;
  if (folios.readTag(pfn) !== 0 || (folios.flags[folios.head(pfn)]! & FOLIO_PINNED) !== 0) return false;
  const zero = folios.zeroPages.zero();
  if (zero < 0) return false;
  // Neither writable nor exclusive: the next write gets a page again.
  node.bits[slot] = (node.bits[slot]! & ~(PTE_KIND | 0x70)) | PTE_ZERO;
  node.pfn[slot] = zero;
  return true;
}

function kindOf(folios: FolioTable, head: Pfn): number {
  return (folios.flags[head]! & FOLIO_DEVICE_MASK) === FOLIO_DEVICE ? PTE_DEVICE : PTE_PRESENT;
}

/** Whether an entry may become a migration entry: an exclusive page that somebody pinned may not (folio_try_share_anon_rmap). */
export function mayShare(folios: FolioTable, head: Pfn, bits: number): boolean {
  return (bits & PTE_ANON_EXCLUSIVE) === 0 || (folios.flags[head]! & FOLIO_PINNED) === 0;
}
