import type { Task } from '@gpusvm/kernel';
import type { Mm } from './mm.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier-invalidate.ts';
import { zapRange } from './zap.ts';

/**
 * Take the memory of a process that the OOM killer has chosen (oom_reap_task_mm, mm/oom_kill.c). The address space
 * becomes unstable: from now on faults fail. Every private or anonymous VMA is zapped in a notification that must not
 * sleep; where a subscription refuses, that VMA is left alone. Event UNMAP in 6.12, CLEAR in 7.3.
 *
 * Needs the mmap lock for reading at once. May sleep in this model only where a callback breaks its contract.
 *
 * @returns whether everything could be reaped; false also when the mmap lock is taken.
 */
export function* oomReap(mm: Mm): Task<boolean> {
  if (!mm.mmapLock.tryDownRead()) return false;
  mm.unstable = true;
  let complete = true;
  const event = mm.machine.profile.hmm.oomReapEvent;
  for (const vma of mm.vmas.all().slice()) {
    if (vma.hugetlb || vma.io || (!vma.anonymous && vma.shared)) continue;
    const { startPage, endPage } = vma;
    const range = { event, startPage, endPage, owner: null, blockable: false };
    if ((yield* mmuNotifierInvalidateRangeStart(mm, range)) !== 0) {
      complete = false;
      continue;
    }
    zapRange(mm, startPage, endPage, 'keep');
    yield* mmuNotifierInvalidateRangeEnd(mm, range);
  }
  mm.mmapLock.upRead();
  return complete;
}
