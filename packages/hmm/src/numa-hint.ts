import type { Task } from '@gpusvm/kernel';
import { FOLIO_DEVICE } from './folio-flags.ts';
import type { Mm } from './mm.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier-invalidate.ts';
import { mmuNotifierRange } from './mmu-notifier-range.ts';
import { PTE_KIND, PTE_PRESENT, PTE_PROTNONE } from './pte.ts';

/**
 * Make present pages fault once to see who uses them (change_prot_numa, NUMA balancing): they become protnone, which
 * the CPU's next access undoes and `hmmRangeFault` reports as not valid. Zero, device and locked pages are left alone.
 * Sends PROTECTION_VMA for each VMA that has page tables. Holds the mmap lock for reading; may sleep.
 *
 * @returns pages that became protnone.
 */
export function* changeProtNuma(mm: Mm, startPage: number, endPage: number): Task<number> {
  let changed = 0;
  yield* mm.mmapLock.downRead();
  for (const vma of mm.vmas.overlapping(startPage, endPage)) {
    if (vma.hugetlb || vma.special || !vma.read) continue;
    const from = Math.max(vma.startPage, startPage);
    const to = Math.min(vma.endPage, endPage);
    if (mm.pageTable.next(Math.floor(from / 512), Math.ceil(to / 512)) === null) continue;
    const range = mmuNotifierRange('PROTECTION_VMA', from, to);
    if (mm.notifiers !== null) yield* mmuNotifierInvalidateRangeStart(mm, range);
    changed += hintRange(mm, from, to);
    if (mm.notifiers !== null) yield* mmuNotifierInvalidateRangeEnd(mm, range);
  }
  mm.mmapLock.upRead();
  return changed;
}

function hintRange(mm: Mm, from: number, to: number): number {
  const endPmd = Math.ceil(to / 512);
  let changed = 0;
  let node = mm.pageTable.next(Math.floor(from / 512), endPmd);
  for (; node !== null; node = mm.pageTable.next(node.index + 1, endPmd)) {
    if (node.huge !== 0) {
      // A leaf that sticks out of the range is left whole.
      if (node.startPage < from || node.startPage + 512 > to || !mayHint(mm, node.huge, node.hugePfn))
        continue;
      node.huge |= PTE_PROTNONE;
      changed += 512;
      continue;
    }
    const last = Math.min(to - node.startPage, 512);
    for (let slot = Math.max(from - node.startPage, 0); slot < last; slot++) {
      if (!mayHint(mm, node.bits[slot]!, node.pfn[slot]!)) continue;
      node.bits[slot]! |= PTE_PROTNONE;
      changed++;
    }
  }
  return changed;
}

function mayHint(mm: Mm, bits: number, pfn: number): boolean {
  if ((bits & (PTE_KIND | PTE_PROTNONE)) !== PTE_PRESENT) return false;
  return (mm.folios.flags[mm.folios.head(pfn)]! & FOLIO_DEVICE) === 0;
}
