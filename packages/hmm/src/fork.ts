import { type Errno, type SchedPoint, type Task, schedPoint } from '@gpusvm/kernel';
import { AnonVma } from './anon-vma.ts';
import { copyPmdRange } from './copy-page-range.ts';
import type { Mm } from './mm.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier-invalidate.ts';
import { mmuNotifierRange } from './mmu-notifier-range.ts';
import { splitHugePmd } from './split-pmd.ts';
import type { Vma } from './vma.ts';

const COPY: SchedPoint = schedPoint('fork: copy_page_range');

/**
 * Copy a process (fork: dup_mmap and copy_page_range, mm/memory.c). Private pages become read-only and shared on both
 * sides; the next write on either side copies. An exclusive page that is pinned is copied at once instead, so that the
 * pinner and the parent keep seeing the same page. The parent's interval notifiers hear PROTECTION_PAGE for every
 * private VMA (CLEAR if it is hugetlb); the child has none.
 *
 * Entries: device-private and migration entries become read-only in both; device-exclusive ones are made present first;
 * swap slots get one more count. Mappings that never held a private page are not copied, and nobody is told: the child
 * faults them in. Locked memory is not locked in the child.
 *
 * Takes the mmap lock for writing; may sleep in notifiers. Cost: O(populated pages), O(1) for a PMD leaf.
 *
 * @param child - an empty address space made with `parent`; after an error it holds a part and is to be torn down.
 * @returns 0; -ENOMEM; -EBUSY when a device-exclusive page is locked.
 */
export function* dupMmap(parent: Mm, child: Mm): Task<Errno> {
  yield* parent.mmapLock.downWrite();
  let err: Errno = 0;
  try {
    for (const vma of parent.vmas.all()) {
      const copy = vma.dup();
      copy.locked = false;
      // anon_vma_fork
      if (vma.anonVma !== null) {
        copy.anonVma = new AnonVma(`${child.name} ${copy.startPage}`);
        copy.forkChild = true;
      }
      if (copy.mapping !== null) copy.mapping.users++;
      child.vmas.insert(copy);
      if (needsCopy(vma)) err = yield* copyVma(parent, child, vma);
      if (err !== 0) break;
    }
  } finally {
    parent.mmapLock.upWrite();
  }
  return err;
}

/** vma_needs_copy: whatever the child could not fault in by itself. */
function needsCopy(vma: Vma): boolean {
  return vma.mixedmap || vma.anonVma !== null;
}

function* copyVma(parent: Mm, child: Mm, vma: Vma): Task<Errno> {
  const { preemptive } = parent.machine.scheduler;
  const cow = !vma.shared;
  const range = mmuNotifierRange(vma.hugetlb ? 'CLEAR' : 'PROTECTION_PAGE', vma.startPage, vma.endPage);
  const notify = cow && parent.notifiers !== null;
  if (notify) yield* mmuNotifierInvalidateRangeStart(parent, range);
  const err = yield* copyPages(parent, child, vma, cow, preemptive);
  if (notify) yield* mmuNotifierInvalidateRangeEnd(parent, range);
  return err;
}

function* copyPages(parent: Mm, child: Mm, vma: Vma, cow: boolean, preemptive: boolean): Task<Errno> {
  const endPmd = Math.ceil(vma.endPage / 512);
  let index = Math.floor(vma.startPage / 512);
  for (;;) {
    if (preemptive) yield COPY;
    const node = parent.pageTable.next(index, endPmd);
    if (node === null) return 0;
    const result = copyPmdRange(parent, child, vma, node, cow);
    if (typeof result === 'number' && result !== 0) return result;
    // A leaf of which a page is pinned cannot be shared whole: it is split and its pages are copied one by one.
    if (result === 'split') yield* splitHugePmd(parent, node.startPage);
    index = result === 'split' ? node.index : node.index + 1;
  }
}
