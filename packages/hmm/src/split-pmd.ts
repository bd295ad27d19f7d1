import type { Task } from '@gpusvm/kernel';
import { splitPmdLeaf } from './map-entry.ts';
import { splitVma } from './mmap.ts';
import type { Mm } from './mm.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier-invalidate.ts';
import { mmuNotifierRange } from './mmu-notifier-range.ts';

const PAGES_PER_PUD = 512 * 512;

/**
 * Split the PMD leaf that covers `page`, if there is one, into page-table entries (split_huge_pmd, __split_huge_pmd
 * in mm/huge_memory.c). Sends CLEAR for the whole 2 MiB. May sleep in the callbacks.
 */
export function* splitHugePmd(mm: Mm, page: number): Task<void> {
  const node = mm.pageTable.nodeOf(page);
  if (node === null || node.huge === 0) return;
  if (mm.notifiers === null) {
    splitPmdLeaf(mm, node);
    return;
  }
  const range = mmuNotifierRange('CLEAR', node.startPage, node.startPage + 512);
  yield* mmuNotifierInvalidateRangeStart(mm, range);
  const now = mm.pageTable.nodeOf(page);
  if (now !== null && now.huge !== 0) splitPmdLeaf(mm, now);
  yield* mmuNotifierInvalidateRangeEnd(mm, range);
}

/** Split the leaves that a range would cut in two (vma_adjust_trans_huge). */
export function* splitHugePmdEdges(mm: Mm, startPage: number, endPage: number): Task<void> {
  if ((startPage & 511) !== 0) yield* splitHugePmd(mm, startPage);
  if ((endPage & 511) !== 0) yield* splitHugePmd(mm, endPage);
}

/**
 * Cut the VMA that contains `page` in two there (__split_vma), if it does not begin there. Where a leaf could be in the
 * way, because the whole 2 MiB lie in the VMA, the kernel splits without a look (split_huge_pmd_address): CLEAR is sent for
 * them even if they are mapped by pages or not at all, as long as their 1 GiB has a page table. The mmap lock is held
 * for writing; may sleep in the callbacks.
 */
export function* cutVma(mm: Mm, page: number): Task<void> {
  const vma = mm.vmas.lookup(page);
  if (vma === null || vma.startPage === page) return;
  const start = page - (page & 511);
  if (page !== start && vma.fitsPmd(start) && hasPmdTable(mm, page)) {
    const range = mmuNotifierRange('CLEAR', start, start + 512);
    if (mm.notifiers !== null) yield* mmuNotifierInvalidateRangeStart(mm, range);
    const node = mm.pageTable.nodeOf(page);
    if (node !== null && node.huge !== 0) splitPmdLeaf(mm, node);
    if (mm.notifiers !== null) yield* mmuNotifierInvalidateRangeEnd(mm, range);
  }
  splitVma(mm, page);
}

/** mm_find_pmd: whether anything is populated in the 1 GiB around a page. */
function hasPmdTable(mm: Mm, page: number): boolean {
  const pud = Math.floor(page / PAGES_PER_PUD) * (PAGES_PER_PUD / 512);
  return mm.pageTable.next(pud, pud + PAGES_PER_PUD / 512) !== null;
}
