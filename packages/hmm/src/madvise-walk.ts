import { EINVAL, ENOMEM, type Errno, type Task } from '@gpusvm/kernel';
import { isUserRange } from './mmap.ts';
import type { Mm } from './mm.ts';
import type { Vma } from './vma.ts';

/**
 * Run an advice over the VMAs of a range with the mmap lock held for reading (madvise_walk_vmas). May sleep.
 *
 * @param body - called for the part of each VMA; a negative result ends the walk.
 * @returns 0; -EINVAL for a bad range; what `body` refused with; -ENOMEM when a part is not mapped, after the mapped
 * parts were done.
 */
export function* madviseWalkVmas(
  mm: Mm,
  startPage: number,
  pages: number,
  body: (vma: Vma, from: number, to: number) => Task<Errno>,
): Task<Errno> {
  if (!isUserRange(startPage, pages)) return -EINVAL;
  const endPage = startPage + pages;
  yield* mm.mmapLock.downRead();
  try {
    let covered = startPage;
    let unmapped = false;
    for (const vma of mm.vmas.overlapping(startPage, endPage)) {
      const from = Math.max(vma.startPage, startPage);
      const to = Math.min(vma.endPage, endPage);
      if (from > covered) unmapped = true;
      const err = yield* body(vma, from, to);
      if (err !== 0) return err;
      covered = to;
    }
    return unmapped || covered < endPage ? -ENOMEM : 0;
  } finally {
    mm.mmapLock.upRead();
  }
}
