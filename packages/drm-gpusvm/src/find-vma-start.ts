import type { Task } from '@gpusvm/kernel';
import type { DrmGpusvm } from './gpusvm.ts';

/**
 * Start of the first CPU VMA that intersects `[startPage, endPage)` (drm_gpusvm_find_vma_start). Takes the mmap lock for
 * reading; sleeps.
 *
 * @returns a page number, possibly below `startPage`; infinity (ULONG_MAX) when there is none or the mm is dying.
 */
export function* drmGpusvmFindVmaStart(gpusvm: DrmGpusvm, startPage: number, endPage: number): Task<number> {
  const mm = gpusvm.requireMm();
  if (!mm.mmgetNotZero()) return Number.POSITIVE_INFINITY;
  yield* mm.mmapLock.downRead();
  const vma = mm.findVma(startPage);
  const found = vma !== null && vma.startPage < endPage ? vma.startPage : Number.POSITIVE_INFINITY;
  mm.mmapLock.upRead();
  mm.mmput();
  return found;
}
