import type { Task } from '@gpusvm/kernel';
import type { Mm } from './mm.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier-invalidate.ts';
import { mmuNotifierRange } from './mmu-notifier-range.ts';
import { zapRange } from './zap.ts';

/** Exclusive end of the range of a RELEASE: everything (ULONG_MAX). */
const EVERYTHING = 2 ** 52;

/**
 * Tear an address space down when its last user is gone (exit_mmap): RELEASE to every subscription, then all
 * mappings. The subscriptions stay until their owners remove them. May sleep.
 */
export function* exitMmap(mm: Mm): Task<void> {
  const range = mmuNotifierRange('RELEASE', 0, EVERYTHING);
  yield* mmuNotifierInvalidateRangeStart(mm, range);
  yield* mmuNotifierInvalidateRangeEnd(mm, range);
  yield* mm.mmapLock.downWrite();
  const vmas = [...mm.vmas.all()];
  zapRange(mm, 0, EVERYTHING, 'unmap');
  for (const vma of vmas) {
    mm.vmas.remove(vma);
    if (vma.mapping !== null) mm.folios.pageCache.close(vma.mapping);
  }
  mm.mmapLock.upWrite();
}
