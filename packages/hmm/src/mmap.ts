import { EEXIST, EINVAL, ENOMEM, type Errno, type Task } from '@gpusvm/kernel';
import type { Mm } from './mm.ts';
import { Vma, type VmaOptions } from './vma.ts';

/** First page behind the user part of a 57-bit address space. */
export const TASK_SIZE_PAGES: number = 2 ** 44;

/** Whether a range can be the argument of a system call: pages, at least one, in the user part. */
export function isUserRange(startPage: number, pages: number): boolean {
  return pages > 0 && startPage >= 0 && startPage + pages <= TASK_SIZE_PAGES;
}

/**
 * Map pages at a fixed place (mmap with MAP_FIXED_NOREPLACE). Nothing is populated. Takes the mmap lock for writing,
 * so it may sleep. Cost: O(VMAs) to insert.
 *
 * @returns 0; -EINVAL for no pages or a hugetlb mapping that is not made of whole 2 MiB; -ENOMEM beyond the user
 * part of the address space; -EEXIST when something is mapped there.
 */
export function* mmap(mm: Mm, startPage: number, pages: number, o: VmaOptions): Task<Errno> {
  if (!Number.isInteger(startPage) || !Number.isInteger(pages) || pages <= 0) return -EINVAL;
  if (!isUserRange(startPage, pages)) return -ENOMEM;
  if (o.hugetlb === true && ((startPage & 511) !== 0 || (pages & 511) !== 0)) return -EINVAL;
  yield* mm.mmapLock.downWrite();
  try {
    const next = mm.vmas.find(startPage);
    if (next !== null && next.startPage < startPage + pages) return -EEXIST;
    const backed =
      o.io !== true && o.hugetlb !== true && (o.file === true || o.shared === true || o.mixedmap === true);
    const mapping = backed
      ? mm.folios.pageCache.open(o.fileKey ?? null, o.file !== true && o.mixedmap !== true)
      : null;
    if (mapping !== null) mapping.users++;
    mm.vmas.insert(new Vma(startPage, startPage + pages, o, mapping));
    return 0;
  } finally {
    mm.mmapLock.upWrite();
  }
}

/**
 * Cut the VMA that contains `page` in two there, if it does not begin there (split_vma). The mmap lock is held for
 * writing.
 */
export function splitVma(mm: Mm, page: number): void {
  const vma = mm.vmas.lookup(page);
  if (vma === null || vma.startPage === page) return;
  const tail = vma.splitOff(page);
  if (tail.mapping !== null) tail.mapping.users++;
  mm.vmas.insert(tail);
}

/** A VMA was changed: merge it with neighbours that are like it now (vma_modify). The mmap lock is held for writing. */
export function mergeVma(mm: Mm, changed: Vma): void {
  for (const gone of mm.vmas.merge(changed, mm.machine.profile.hmm.mergeIntoEmptyVma)) {
    if (gone.mapping !== null) mm.folios.pageCache.close(gone.mapping);
  }
}
