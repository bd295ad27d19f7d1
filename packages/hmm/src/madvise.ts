import { EINVAL, ENOMEM, type Errno, type SchedPoint, type Task, schedPoint } from '@gpusvm/kernel';
import { madviseWalkVmas } from './madvise-walk.ts';
import { isUserRange, mergeVma } from './mmap.ts';
import type { Mm } from './mm.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier-invalidate.ts';
import { mmuNotifierRange } from './mmu-notifier-range.ts';
import { cutVma, splitHugePmdEdges } from './split-pmd.ts';
import { type ZappedTables, zapRange } from './zap.ts';

const ZAP: SchedPoint = schedPoint('madvise: zap');

/**
 * Drop the contents of pages (MADV_DONTNEED): the next access finds zeros, or the file. Sends CLEAR for each VMA.
 * Holds the mmap lock for reading; may sleep. Page tables stay
 * but for those that are dropped as a whole (6.14).
 *
 * @returns 0; -EINVAL for a bad range, an I/O or locked mapping or a part of a hugetlb page; -ENOMEM when a part is not
 * mapped, after the mapped parts were dropped.
 */
export function madviseDontneed(mm: Mm, startPage: number, pages: number): Task<Errno> {
  return madviseWalkVmas(mm, startPage, pages, function* (vma, from, to) {
    if (vma.io || vma.locked || (vma.hugetlb && ((from | to) & 511) !== 0)) return -EINVAL;
    yield* zapVmaRange(mm, from, to, mm.machine.profile.hmm.dontneedFreesTables ? 'reclaim' : 'keep');
    return 0;
  });
}

/** @internal zap_page_range_single: CLEAR and remove the entries; guard markers stay. */
export function* zapVmaRange(
  mm: Mm,
  startPage: number,
  endPage: number,
  tables: ZappedTables = 'keep',
): Task<void> {
  const range = mmuNotifierRange('CLEAR', startPage, endPage);
  if (mm.notifiers !== null) yield* mmuNotifierInvalidateRangeStart(mm, range);
  yield* splitHugePmdEdges(mm, startPage, endPage);
  if (mm.machine.scheduler.preemptive) yield ZAP;
  zapRange(mm, startPage, endPage, tables);
  if (mm.notifiers !== null) yield* mmuNotifierInvalidateRangeEnd(mm, range);
}

/**
 * MADV_HUGEPAGE and MADV_NOHUGEPAGE: only what later faults and collapses do changes. Takes the mmap lock for writing; may sleep.
 *
 * @returns 0; -EINVAL for a bad range; -ENOMEM when a part is not mapped.
 */
export function* madviseHugepage(mm: Mm, startPage: number, pages: number, on: boolean): Task<Errno> {
  if (!isUserRange(startPage, pages)) return -EINVAL;
  const endPage = startPage + pages;
  yield* mm.mmapLock.downWrite();
  try {
    let mapped = 0;
    for (const vma of mm.vmas.overlapping(startPage, endPage).slice()) {
      const from = Math.max(vma.startPage, startPage);
      const to = Math.min(vma.endPage, endPage);
      mapped += to - from;
      // What is so already is not even cut.
      if (vma.hugepage === on && vma.noHugepage === !on) continue;
      yield* cutVma(mm, from);
      yield* cutVma(mm, to);
      const changed = mm.vmas.lookup(from)!;
      changed.hugepage = on;
      changed.noHugepage = !on;
      mergeVma(mm, changed);
    }
    return mapped < pages ? -ENOMEM : 0;
  } finally {
    mm.mmapLock.upWrite();
  }
}
