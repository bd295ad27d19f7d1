import { EFAULT, EINVAL, ENOMEM, type SchedPoint, type Task, schedPoint } from '@gpusvm/kernel';
import { isUserRange, TASK_SIZE_PAGES } from './mmap.ts';
import type { Mm } from './mm.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier-invalidate.ts';
import { mmuNotifierRange } from './mmu-notifier-range.ts';
import { movePageTables } from './move-page-tables.ts';
import { unmapLocked } from './munmap.ts';
import { MM_MREMAP } from './tracepoints.ts';
import type { Vma } from './vma.ts';

const MOVE: SchedPoint = schedPoint('mremap: move_page_tables');

/** How a mapping may move. */
export interface MremapOptions {
  /** MREMAP_MAYMOVE: look for another place where it cannot grow. `newPage` and `dontUnmap` imply it. */
  readonly mayMove?: boolean;
  /** MREMAP_FIXED: the new place; what is mapped there goes. */
  readonly newPage?: number;
  /** MREMAP_DONTUNMAP: the old VMA stays, empty. */
  readonly dontUnmap?: boolean;
}

/**
 * Move, grow or shrink a mapping (mremap, mm/mremap.c). A move takes the page-table entries along as they are, device
 * pages, swap slots and migration entries too, and sends UNMAP for the old range; unmapping the old VMA afterwards
 * sends it again. Takes the mmap lock for writing; may sleep. Cost: O(populated pages), O(1) for a whole PMD.
 *
 * @param oldPage - first page of the old range, which lies in one VMA (a move without a change of length takes several
 * from 6.17 on).
 * @param oldPages - its length.
 * @param newPages - new length.
 * @returns the first page of the new range; -EINVAL for empty or overlapping ranges, for a hugetlb range that cuts a
 * huge page, and for `dontUnmap` with another length or on device memory (VM_IO); -EFAULT where the old range
 * is not in one VMA; -ENOMEM when it cannot grow here and may not move, or nothing is free.
 */
export function* mremap(
  mm: Mm,
  oldPage: number,
  oldPages: number,
  newPages: number,
  o: MremapOptions = {},
): Task<number> {
  const { newPage, dontUnmap = false } = o;
  if (!isUserRange(oldPage, oldPages) || newPages <= 0) return -EINVAL;
  if (dontUnmap && newPages !== oldPages) return -EINVAL;
  if (newPage !== undefined) {
    if (!isUserRange(newPage, newPages)) return -EINVAL;
    if (newPage < oldPage + oldPages && oldPage < newPage + newPages) return -EINVAL;
  }
  yield* mm.mmapLock.downWrite();
  try {
    const moveOnly = newPage !== undefined && newPages === oldPages;
    return moveOnly && mm.machine.profile.hmm.mremapMovesVmas
      ? yield* moveVmas(mm, oldPage, oldPages, o)
      : yield* mremapLocked(mm, oldPage, oldPages, newPages, o);
  } finally {
    mm.mmapLock.upWrite();
  }
}

/**
 * remap_move (6.17): a move without a change of length takes every VMA of the range, one after the other, and keeps the
 * gaps between them. It begins with a VMA; those that userfaultfd watches and hugetlb move alone or not at all. An error
 * leaves what has moved before.
 */
function* moveVmas(mm: Mm, oldPage: number, pages: number, o: MremapOptions): Task<number> {
  const end = oldPage + pages;
  const shift = o.newPage! - oldPage;
  let moved = -EFAULT;
  for (const vma of mm.vmas.overlapping(oldPage, end).slice()) {
    const from = Math.max(vma.startPage, oldPage);
    const to = Math.min(vma.endPage, end);
    if (moved < 0 && from > oldPage) return -EFAULT;
    if ((vma.hugetlb || vma.uffd !== null) && (moved >= 0 || to < end)) return -EFAULT;
    const got = yield* mremapLocked(mm, from, to - from, to - from, { ...o, newPage: from + shift });
    if (got < 0) return got;
    if (moved < 0) moved = got;
  }
  return moved;
}

function* mremapLocked(
  mm: Mm,
  oldPage: number,
  oldPages: number,
  newPages: number,
  o: MremapOptions,
): Task<number> {
  const { newPage, dontUnmap = false } = o;
  const mayMove = o.mayMove === true || newPage !== undefined || dontUnmap;
  const vma = mm.vmas.lookup(oldPage);
  if (vma === null) return -EFAULT;
  if (vma.hugetlb && ((oldPage | oldPages | newPages | (newPage ?? 0)) & 511) !== 0) return -EINVAL;
  if (dontUnmap && vma.io) return -EINVAL;
  if (newPage !== undefined) {
    yield* unmapLocked(mm, newPage, newPages);
    if (newPages < oldPages) yield* unmapLocked(mm, oldPage + newPages, oldPages - newPages);
  } else if (newPages <= oldPages && !dontUnmap) {
    if (newPages < oldPages) yield* unmapLocked(mm, oldPage + newPages, oldPages - newPages);
    return oldPage;
  }
  const moved = Math.min(oldPages, newPages);
  if (oldPage + moved > vma.endPage) return -EFAULT;
  if (newPage === undefined && !dontUnmap && growsInPlace(mm, vma, oldPage, moved, newPages)) {
    vma.endPage = oldPage + newPages;
    return oldPage;
  }
  if (!mayMove) return -ENOMEM;
  const target = newPage ?? freeArea(mm, newPages);
  if (target < 0) return -ENOMEM;
  yield* moveVma(mm, vma, oldPage, moved, target, newPages, dontUnmap);
  return target;
}

/** vma_expandable: the range ends with its VMA and what follows is free. */
function growsInPlace(mm: Mm, vma: Vma, page: number, pages: number, newPages: number): boolean {
  if (page + pages !== vma.endPage) return false;
  const next = mm.vmas.find(vma.endPage);
  const limit = next === null ? TASK_SIZE_PAGES : next.startPage;
  return page + newPages <= limit;
}

/** get_unmapped_area: behind the last VMA, 2 MiB aligned. */
function freeArea(mm: Mm, pages: number): number {
  const last = mm.vmas.all().at(-1);
  const page = Math.ceil((last === undefined ? 512 : last.endPage) / 512) * 512;
  return page + pages <= TASK_SIZE_PAGES ? page : -1;
}

/** move_vma */
function* moveVma(
  mm: Mm,
  vma: Vma,
  oldPage: number,
  pages: number,
  newPage: number,
  newPages: number,
  dontUnmap: boolean,
): Task<void> {
  const copy = vma.dup(newPage, newPage + newPages);
  copy.pageOffset = vma.offsetOf(oldPage);
  if (copy.mapping !== null) copy.mapping.users++;
  mm.vmas.insert(copy);
  const range = mmuNotifierRange('UNMAP', oldPage, oldPage + pages);
  if (mm.notifiers !== null) yield* mmuNotifierInvalidateRangeStart(mm, range);
  if (mm.machine.scheduler.preemptive) yield MOVE;
  yield* movePageTables(mm, oldPage, newPage, pages);
  const point = mm.machine.trace.point(MM_MREMAP);
  if (point.enabled) point.emit({ mm: mm.name, oldPage, newPage, pages });
  if (mm.notifiers !== null) yield* mmuNotifierInvalidateRangeEnd(mm, range);
  if (!dontUnmap) {
    yield* unmapLocked(mm, oldPage, pages);
    return;
  }
  // dontunmap_complete: the old VMA stays as it is, but none of it is locked in memory any more.
  vma.locked = false;
  if (oldPage === vma.startPage && oldPage + pages === vma.endPage) {
    vma.anonVma = null;
    vma.forkChild = false;
  }
}
