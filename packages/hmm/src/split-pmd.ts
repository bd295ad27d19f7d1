import type { Task } from '@gpusvm/kernel';
import { splitPmdLeaf } from './map-entry.ts';
import type { Mm } from './mm.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier-invalidate.ts';
import { mmuNotifierRange } from './mmu-notifier-range.ts';

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
