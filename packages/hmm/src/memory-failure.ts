import { EBUSY, EINVAL, type Errno, type Pfn, type Task } from '@gpusvm/kernel';
import { FOLIO_CACHED, FOLIO_DEVICE, FOLIO_HEAD, FOLIO_HWPOISON } from './folio-flags.ts';
import { splitFolio } from './folio-split.ts';
import type { FolioTable } from './folio-table.ts';
import { tryToUnmap } from './try-to-unmap.ts';

/**
 * A page of RAM is broken (memory_failure, mm/memory-failure.c): it is taken out of every page table, with CLEAR, and
 * the entries become hwpoison markers, which give SIGBUS to the CPU and -EFAULT to a device. A large folio is split
 * first. The page never returns to the allocator. May sleep.
 *
 * @returns 0; -EINVAL for a page that is not in use or not anonymous RAM; -EBUSY when the folio cannot be split or is
 * locked.
 */
export function* memoryFailure(folios: FolioTable, pfn: Pfn): Task<Errno> {
  const head = folios.head(pfn);
  const flags = folios.flags[head]!;
  if ((flags & FOLIO_HEAD) === 0 || (flags & (FOLIO_DEVICE | FOLIO_CACHED)) !== 0) return -EINVAL;
  if (!folios.trylock(head)) return -EBUSY;
  folios.get(head);
  const err = folios.order(head) === 0 ? 0 : yield* splitFolio(folios, head);
  folios.unlock(head);
  if (err !== 0) {
    folios.put(head);
    return -EBUSY;
  }
  if (pfn !== head) {
    folios.put(head);
    if (folios.refcount(pfn) === 0) return -EINVAL;
    folios.get(pfn);
  }
  yield* folios.lock(pfn);
  folios.flags[pfn]! |= FOLIO_HWPOISON;
  yield* tryToUnmap(folios, pfn, 'hwpoison');
  folios.unlock(pfn);
  folios.put(pfn);
  return 0;
}
