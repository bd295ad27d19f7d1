import { EINVAL, ENOMEM, type Errno, type SchedPoint, type Task, schedPoint } from '@gpusvm/kernel';
import { exclusiveIsUnmapped } from './exclusive-entry.ts';
import { isUserRange, mergeVma } from './mmap.ts';
import type { Mm } from './mm.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier-invalidate.ts';
import { mmuNotifierRange } from './mmu-notifier-range.ts';
import type { PmdNode } from './page-table.ts';
import {
  PTE_ANON_EXCLUSIVE,
  PTE_DIRTY,
  PTE_EXCLUSIVE,
  PTE_KIND,
  PTE_MIGRATION,
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_WRITE,
} from './pte.ts';
import { cutVma } from './split-pmd.ts';
import type { Vma } from './vma.ts';

const PROTECT: SchedPoint = schedPoint('mprotect: change_protection');
const PAGES_PER_PUD = 512 * 512;

/** New protection of a mapping; without `read` it is PROT_NONE. */
export interface Protection {
  readonly read: boolean;
  readonly write: boolean;
}

/**
 * Change the protection of pages (mprotect, mm/mprotect.c). Taking the write permission away changes entries at
 * once, migration and device-private entries too. Giving it back makes a present page writable at once that belongs to
 * the entry alone (PageAnonExclusive) or is shared memory, as measured on 6.12 and 7.3 (finding-mprotect-upgrade);
 * others become writable at the next write fault; a device-private entry stays read-only until the page comes back.
 *
 * Sends PROTECTION_VMA for each VMA that changes, from the first populated 1 GiB to its end. Takes the mmap lock for
 * writing; may sleep. Cost: O(populated pages).
 *
 * @returns 0; -EINVAL for a bad range or a part of a hugetlb page; -ENOMEM when a part is not mapped, after what lies before it was changed.
 */
export function* mprotect(mm: Mm, startPage: number, pages: number, prot: Protection): Task<Errno> {
  if (!isUserRange(startPage, pages)) return -EINVAL;
  const endPage = startPage + pages;
  yield* mm.mmapLock.downWrite();
  try {
    let page = startPage;
    while (page < endPage) {
      const vma = mm.vmas.lookup(page);
      if (vma === null) break;
      const stop = Math.min(vma.endPage, endPage);
      // hugetlb_vm_op_split: a VMA of huge pages is cut between them only.
      if (vma.hugetlb && ((page | stop) & 511) !== 0) return -EINVAL;
      yield* protectVma(mm, vma, page, stop, prot);
      page = stop;
    }
    return page < endPage ? -ENOMEM : 0;
  } finally {
    mm.mmapLock.upWrite();
  }
}

function* protectVma(mm: Mm, vma: Vma, startPage: number, endPage: number, prot: Protection): Task<void> {
  if (vma.read === prot.read && vma.write === prot.write) return;
  yield* cutVma(mm, startPage);
  yield* cutVma(mm, endPage);
  const changed = mm.vmas.lookup(startPage)!;
  changed.read = prot.read;
  changed.write = prot.write;
  mergeVma(mm, changed);
  const endPmd = Math.ceil(endPage / 512);
  const first = mm.pageTable.next(Math.floor(startPage / 512), endPmd);
  if (first === null) return;
  const firstPud = Math.floor(first.startPage / PAGES_PER_PUD) * PAGES_PER_PUD;
  const range = mmuNotifierRange('PROTECTION_VMA', Math.max(startPage, firstPud), endPage);
  if (mm.notifiers !== null) yield* mmuNotifierInvalidateRangeStart(mm, range);
  if (mm.machine.scheduler.preemptive) yield PROTECT;
  for (
    let node = mm.pageTable.next(first.index, endPmd);
    node !== null;
    node = mm.pageTable.next(node.index + 1, endPmd)
  ) {
    const from = Math.max(startPage - node.startPage, 0);
    changeNode(mm, node, from, Math.min(endPage - node.startPage, 512), changed);
  }
  if (mm.notifiers !== null) yield* mmuNotifierInvalidateRangeEnd(mm, range);
}

function changeNode(mm: Mm, node: PmdNode, from: number, to: number, vma: Vma): void {
  if (node.huge !== 0) {
    node.huge = withProtection(node.huge, vma);
    return;
  }
  for (let slot = from; slot < to; slot++) {
    const bits = node.bits[slot]!;
    if ((bits & PTE_KIND) === PTE_EXCLUSIVE) {
      // Says nothing about permissions, except in 6.12.
      if (!vma.write && exclusiveIsUnmapped(mm.folios)) node.bits[slot] = bits & ~PTE_WRITE;
    } else if ((bits & PTE_KIND) !== 0) {
      node.bits[slot] = withProtection(bits, vma);
    }
  }
}

function withProtection(bits: number, vma: Vma): number {
  const kind = bits & PTE_KIND;
  // Swap and marker entries say nothing about permissions: the VMA decides when the page is back.
  if (kind > PTE_MIGRATION) return bits;
  const access = vma.read ? bits & ~PTE_PROTNONE : bits | PTE_PROTNONE;
  if (!vma.write) return access & ~PTE_WRITE;
  return kind === PTE_PRESENT && vma.read && mayUpgrade(bits, vma) ? access | PTE_WRITE : access;
}

/**
 * can_change_pte_writable: an anonymous page that belongs to the entry alone becomes writable at once; of a shared
 * mapping, what needs no notice of the first write (shared memory), or has had it.
 */
function mayUpgrade(bits: number, vma: Vma): boolean {
  if (!vma.shared) return (bits & PTE_ANON_EXCLUSIVE) !== 0;
  return vma.mapping !== null && (vma.mapping.shmem || (bits & PTE_DIRTY) !== 0);
}
