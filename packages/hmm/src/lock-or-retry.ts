import type { Pfn, Task } from '@gpusvm/kernel';
import type { Mm } from './mm.ts';

/**
 * Lock a folio in a page fault (folio_lock_or_retry). The caller holds a reference and the mmap lock for reading. Where
 * the lock is taken and the fault may drop the mmap lock, it does, waits, and puts the reference. May sleep.
 *
 * @returns whether the folio is locked; otherwise the mmap lock and the reference are gone.
 */
export function* lockOrRetry(mm: Mm, head: Pfn, mayDrop: boolean): Task<boolean> {
  const { folios } = mm;
  if (folios.trylock(head)) return true;
  if (!mayDrop) {
    yield* folios.lock(head);
    return true;
  }
  mm.mmapLock.upRead();
  yield* folios.waitLocked(head);
  folios.put(head);
  return false;
}
