import type { Task } from '@gpusvm/kernel';
import { FOLIO_LOCKED } from './folio-flags.ts';
import { ownsPage } from './map-entry.ts';
import type { Mm } from './mm.ts';
import type { PmdNode } from './page-table.ts';
import { PTE_KIND, PTE_MIGRATION } from './pte.ts';
import { splitHugePmd } from './split-pmd.ts';

/**
 * Move page-table entries to another virtual address (move_page_tables): whole PMDs where both sides are aligned
 * (move_huge_pmd, move_normal_pmd), else entry by entry, for which leaves are split. The target is empty. Sleeps only
 * in the notification of a split. No entry can fail: missing tables are made.
 */
export function* movePageTables(mm: Mm, oldPage: number, newPage: number, pages: number): Task<void> {
  const end = oldPage + pages;
  const delta = newPage - oldPage;
  for (let page = oldPage; page < end; ) {
    const node = mm.pageTable.next(Math.floor(page / 512), Math.ceil(end / 512));
    if (node === null) return;
    page = Math.max(page, node.startPage);
    const stop = Math.min(end, node.startPage + 512);
    const whole = stop - page === 512 && (delta & 511) === 0;
    if (whole && movePmd(mm, node, delta)) {
      page = stop;
      continue;
    }
    if (node.huge !== 0) yield* splitHugePmd(mm, page);
    moveEntries(mm, node, page, stop, delta);
    page = stop;
  }
}

/** move_huge_pmd, move_normal_pmd; false when the target has a table already. */
function movePmd(mm: Mm, node: PmdNode, delta: number): boolean {
  const index = node.index + delta / 512;
  const known = mm.pageTable.lookup(index);
  if (known !== null && (known.huge !== 0 || known.used > 0)) return false;
  if (known !== null) mm.pageTable.remove(known);
  const moved = mm.pageTable.move(node, index);
  if (moved.huge !== 0) {
    relocate(mm, moved.huge, moved.hugePfn, moved.startPage);
    return true;
  }
  for (let slot = 0; slot < 512; slot++) {
    const bits = moved.bits[slot]!;
    if (bits !== 0) relocate(mm, bits, moved.pfn[slot]!, moved.startPage + slot);
  }
  return true;
}

/** move_ptes */
function moveEntries(mm: Mm, node: PmdNode, from: number, to: number, delta: number): void {
  for (let page = from; page < to; page++) {
    const slot = page & 511;
    const bits = node.bits[slot]!;
    if (bits === 0) continue;
    const target = mm.pageTable.makeTable(Math.floor((page + delta) / 512));
    const pfn = node.pfn[slot]!;
    const newSlot = (page + delta) & 511;
    target.bits[newSlot] = bits;
    target.pfn[newSlot] = pfn;
    target.used++;
    node.bits[slot] = 0;
    node.used--;
    relocate(mm, bits, pfn, page + delta);
  }
}

/** The reverse mapping follows an entry to its new virtual page. */
function relocate(mm: Mm, bits: number, pfn: number, page: number): void {
  if (!ownsPage(bits) && (bits & PTE_KIND) !== PTE_MIGRATION) return;
  const { folios } = mm;
  const head = folios.head(pfn);
  // A large folio may have exclusive entries elsewhere, which count as references only in 6.12.
  const single = folios.maps[head] === 1 && (folios.orders[head] === 0 || folios.refs[head] === 1);
  const sole = single && (folios.flags[head]! & FOLIO_LOCKED) === 0 && ownsPage(bits);
  folios.rmap.relocate(head, folios.orders[head]!, mm.id, page - (pfn - head), sole);
}
