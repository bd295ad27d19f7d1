import { EINVAL, ENOMEM, type Errno, type Task } from '@gpusvm/kernel';
import { handleMmFault } from './cpu-fault.ts';
import { isUserRange, mergeVma } from './mmap.ts';
import type { Mm } from './mm.ts';
import { cutVma } from './split-pmd.ts';

/**
 * Keep pages in memory (mlock, munlock; mm/mlock.c): reclaim leaves them alone, and locking populates them, for
 * writing where the VMA is writable. Locked memory still migrates to devices. Takes the mmap lock; may sleep.
 *
 * @param on - lock or unlock.
 * @returns 0; -EINVAL for a bad range; -ENOMEM when a part is not mapped or a page cannot be had.
 */
export function* mlock(mm: Mm, startPage: number, pages: number, on: boolean): Task<Errno> {
  if (!isUserRange(startPage, pages)) return -EINVAL;
  const endPage = startPage + pages;
  let mapped = 0;
  yield* mm.mmapLock.downWrite();
  for (const vma of mm.vmas.overlapping(startPage, endPage).slice()) {
    const from = Math.max(vma.startPage, startPage);
    const to = Math.min(vma.endPage, endPage);
    mapped += to - from;
    if (vma.locked === on) continue;
    yield* cutVma(mm, from);
    yield* cutVma(mm, to);
    const changed = mm.vmas.lookup(from)!;
    changed.locked = on;
    mergeVma(mm, changed);
  }
  mm.mmapLock.upWrite();
  if (mapped < pages) return -ENOMEM;
  return on ? yield* populate(mm, startPage, endPage) : 0;
}

/** mm_populate */
function* populate(mm: Mm, startPage: number, endPage: number): Task<Errno> {
  yield* mm.mmapLock.downRead();
  let failed = false;
  for (let page = startPage; page < endPage && !failed; page++) {
    const vma = mm.vmas.lookup(page);
    if (vma === null || !vma.read || vma.io) continue;
    const write = vma.write && !vma.shared;
    while (!failed && !(write ? mm.isWritable(page) && mm.tryReadTag(page) >= 0 : mm.tryReadTag(page) >= 0)) {
      failed = (yield* handleMmFault(mm, vma, page, write)) !== 0;
    }
  }
  mm.mmapLock.upRead();
  return failed ? -ENOMEM : 0;
}
