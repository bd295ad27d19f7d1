import type { Task } from '@gpusvm/kernel';
import type { Mm } from './mm.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier-invalidate.ts';
import { mmuNotifierRange } from './mmu-notifier-range.ts';
import { PTE_DIRTY, PTE_KIND, PTE_PRESENT, PTE_WRITE } from './pte.ts';

/** Exclusive end of everything (ULONG_MAX). */
const EVERYTHING = 2 ** 52;

/**
 * Write dirty pages of shared file mappings back (msync, writeback; page_mkclean of mm/rmap.c): each dirty page becomes
 * clean and read-only in every process that maps it, which hears PROTECTION_PAGE for the page; the next write faults.
 * May sleep.
 *
 * @returns pages written.
 */
export function* msync(mm: Mm, startPage: number, pages: number): Task<number> {
  const { folios } = mm;
  let written = 0;
  yield* mm.mmapLock.downRead();
  for (let page = startPage; page < startPage + pages; page++) {
    const vma = mm.vmas.lookup(page);
    if (vma === null || !vma.shared || vma.mapping === null || vma.mapping.shmem) continue;
    const pfn = mm.pfnAt(page);
    if ((mm.entryBits(page) & PTE_KIND) !== PTE_PRESENT || mm.isPmdMapped(page)) continue;
    const offset = vma.offsetOf(page);
    if (!(yield* cleanEverywhere(mm, pfn))) continue;
    vma.mapping.written.set(offset, folios.readTag(pfn));
    written++;
  }
  mm.mmapLock.upRead();
  return written;
}

/** page_mkclean: whether some entry was dirty. */
function* cleanEverywhere(mm: Mm, pfn: number): Task<boolean> {
  const { folios } = mm;
  const head = folios.head(pfn);
  let dirty = false;
  for (const { mm: other, base } of folios.rmap.places(head)) {
    const page = base + (pfn - head);
    if (other.pfnAt(page) !== pfn || (other.entryBits(page) & (PTE_DIRTY | PTE_WRITE)) === 0) continue;
    const range = mmuNotifierRange('PROTECTION_PAGE', page, page + 1);
    if (other.notifiers !== null) yield* mmuNotifierInvalidateRangeStart(other, range);
    const node = other.pageTable.nodeOf(page);
    if (node !== null && node.huge === 0 && node.pfn[page & 511] === pfn) {
      dirty ||= (node.bits[page & 511]! & PTE_DIRTY) !== 0;
      node.bits[page & 511]! &= ~(PTE_DIRTY | PTE_WRITE);
    }
    if (other.notifiers !== null) yield* mmuNotifierInvalidateRangeEnd(other, range);
  }
  return dirty;
}

/**
 * Forget which pages were written (/proc/PID/clear_refs with 4, soft-dirty tracking): SOFT_DIRTY for the whole address
 * space, then every present page is read-only until the next write. Takes the mmap lock for writing; may sleep.
 */
export function* clearRefs(mm: Mm): Task<void> {
  yield* mm.mmapLock.downWrite();
  const range = mmuNotifierRange('SOFT_DIRTY', 0, EVERYTHING);
  if (mm.notifiers !== null) yield* mmuNotifierInvalidateRangeStart(mm, range);
  for (
    let node = mm.pageTable.next(0, EVERYTHING);
    node !== null;
    node = mm.pageTable.next(node.index + 1, EVERYTHING)
  ) {
    if (node.huge !== 0) {
      if ((node.huge & PTE_KIND) === PTE_PRESENT) node.huge &= ~PTE_WRITE;
      continue;
    }
    const { bits } = node;
    for (let slot = 0; slot < 512; slot++) {
      if ((bits[slot]! & PTE_KIND) === PTE_PRESENT) bits[slot]! &= ~PTE_WRITE;
    }
  }
  if (mm.notifiers !== null) yield* mmuNotifierInvalidateRangeEnd(mm, range);
  mm.mmapLock.upWrite();
}
