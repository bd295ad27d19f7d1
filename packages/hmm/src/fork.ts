import { type Errno, type SchedPoint, type Task, schedPoint } from '@gpusvm/kernel';
import { copyPmdRange } from './copy-page-range.ts';
import { FOLIO_ANON } from './folio-flags.ts';
import type { Mm } from './mm.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-interval-notifier.ts';
import { mmuNotifierRange } from './mmu-notifier-range.ts';
import { PTE_KIND, PTE_PRESENT } from './pte.ts';
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
 * swap slots get one more count. Shared mappings are not copied: the child faults them in.
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
      if (copy.mapping !== null) copy.mapping.users++;
      child.vmas.insert(copy);
      if (needsCopy(parent, vma)) err = yield* copyVma(parent, child, vma);
      if (err !== 0) break;
    }
  } finally {
    parent.mmapLock.upWrite();
  }
  return err;
}

/** vma_needs_copy: whatever the child could not fault in by itself. */
function needsCopy(mm: Mm, vma: Vma): boolean {
  if (vma.io) return false;
  if (vma.hugetlb || vma.mixedmap || vma.anonymous) return true;
  return !vma.shared && hasAnonEntry(mm, vma);
}

/** Whether a private file mapping has pages of its own (stands for vma->anon_vma). */
function hasAnonEntry(mm: Mm, vma: Vma): boolean {
  const { folios, pageTable } = mm;
  const endPmd = Math.ceil(vma.endPage / 512);
  let node = pageTable.next(Math.floor(vma.startPage / 512), endPmd);
  for (; node !== null; node = pageTable.next(node.index + 1, endPmd)) {
    const to = Math.min(vma.endPage - node.startPage, 512);
    for (let slot = Math.max(vma.startPage - node.startPage, 0); slot < to; slot++) {
      const bits = node.huge === 0 ? node.bits[slot]! : node.huge;
      const pfn = node.huge === 0 ? node.pfn[slot]! : node.hugePfn;
      if (bits === 0) continue;
      if ((bits & PTE_KIND) !== PTE_PRESENT) return true;
      if ((folios.flags[folios.head(pfn)]! & FOLIO_ANON) !== 0) return true;
    }
  }
  return false;
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
