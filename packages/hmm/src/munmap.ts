import { EINVAL, type Errno, type SchedPoint, type Task, schedPoint } from '@gpusvm/kernel';
import { isUserRange } from './mmap.ts';
import type { Mm } from './mm.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier-invalidate.ts';
import { mmuNotifierRange } from './mmu-notifier-range.ts';
import { cutVma } from './split-pmd.ts';
import { zapRange } from './zap.ts';

const DETACH: SchedPoint = schedPoint('munmap: VMAs detached');
const ZAP: SchedPoint = schedPoint('munmap: zap');

/**
 * Unmap pages (munmap, do_vmi_munmap): split VMAs and PMD leaves at the edges, detach the VMAs, send UNMAP for the
 * whole range, then remove the entries. Takes the mmap lock for writing; may sleep. Nothing mapped in the range is
 * success without notification.
 *
 * @returns 0; -EINVAL for a range without pages or outside of the user part, or one that cuts a hugetlb page.
 */
export function* munmap(mm: Mm, startPage: number, pages: number): Task<Errno> {
  if (!isUserRange(startPage, pages)) return -EINVAL;
  yield* mm.mmapLock.downWrite();
  try {
    return yield* unmapLocked(mm, startPage, pages);
  } finally {
    mm.mmapLock.upWrite();
  }
}

/** @internal do_vmi_munmap: as {@link munmap} with the mmap lock held for writing. */
export function* unmapLocked(mm: Mm, startPage: number, pages: number): Task<Errno> {
  const endPage = startPage + pages;
  const { preemptive } = mm.machine.scheduler;
  const first = mm.vmas.overlapping(startPage, endPage);
  if (first.length === 0) return 0;
  if (first.some((vma) => vma.hugetlb && (isCut(vma, startPage) || isCut(vma, endPage)))) return -EINVAL;
  yield* cutVma(mm, startPage);
  yield* cutVma(mm, endPage);
  const gone = mm.vmas.overlapping(startPage, endPage);
  for (const vma of gone) mm.vmas.remove(vma);
  if (preemptive) yield DETACH;
  const range = mmuNotifierRange('UNMAP', startPage, endPage);
  if (mm.notifiers !== null) yield* mmuNotifierInvalidateRangeStart(mm, range);
  if (preemptive) yield ZAP;
  zapRange(mm, startPage, endPage, 'unmap');
  if (mm.notifiers !== null) yield* mmuNotifierInvalidateRangeEnd(mm, range);
  for (const vma of gone) if (vma.mapping !== null) mm.folios.pageCache.close(vma.mapping);
  return 0;
}

function isCut(vma: { startPage: number; endPage: number }, page: number): boolean {
  return page > vma.startPage && page < vma.endPage && (page & 511) !== 0;
}
