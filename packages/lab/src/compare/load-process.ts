import { NO_PFN, type PhysicalMemory } from '@gpusvm/dma-iova';
import type { Mm } from '@gpusvm/hmm';
import { errnoName, type Task } from '@gpusvm/kernel';
import { type Capture, PageFlag } from '../capture/capture.ts';
import { cpuTag } from './content.ts';
import type { Participants } from './participants.ts';
import { hasPhysicalPage, type Placement } from './placement.ts';

/** Spare RAM beside the process: page cache of file mappings that faults fill, and room for the allocator. */
const SPARE_PAGES = 4096;

/**
 * RAM for the process, for everything that faults can make of it (every hole of a faulted range becomes a page when
 * it comes back), and some spare.
 */
export function ramPagesFor(placement: Placement, coveredPages: number): number {
  return Math.ceil((placement.endPfn + coveredPages + SPARE_PAGES) / 1024) * 1024;
}

/** Make the captured address space: its mappings, its pages where placed, and contents to recognise them by. */
export function* loadProcess(
  mm: Mm,
  memory: PhysicalMemory,
  capture: Capture,
  { stretches, vmas }: Participants,
  placement: Placement,
): Task<void> {
  for (const vma of vmas) {
    const err = yield* mm.mmap(vma.startPage, vma.endPage - vma.startPage, {
      read: vma.prot.read,
      write: vma.prot.write,
      exec: vma.prot.exec,
      shared: vma.shared,
      file: vma.kind === 'file',
    });
    if (err !== 0) throw new Error(`mmap of page ${vma.startPage} failed: ${errnoName(err)}`);
  }
  const { runs } = capture;
  const claim = claimer(memory);
  for (const { run, startPage, pages, firstIndex, zero, vma } of stretches) {
    const order = runs.order[run]!;
    if (!hasPhysicalPage(runs.flags[run]!)) {
      mm.installRun(startPage, NO_PFN, pages, 0, { zero });
      continue;
    }
    const pfn = placement.pfn[run]!;
    claim(pfn, pages, order);
    const privateCache = (runs.flags[run]! & PageFlag.ANON) === 0 && !vma.shared;
    mm.installRun(startPage, pfn, pages, order, { readOnly: privateCache });
    for (let i = 0; i < pages; i++) memory.writeTag(pfn + i, cpuTag(firstIndex + i));
  }
}

/**
 * Takes the folios of a run from the allocator. Two runs can hold parts of one folio, so large folios are
 * remembered.
 */
function claimer(memory: PhysicalMemory): (pfn: number, pages: number, order: number) => void {
  const taken = new Set<number>();
  return (pfn, pages, order) => {
    const folio = 2 ** order;
    for (let head = Math.floor(pfn / folio) * folio; head < pfn + pages; head += folio) {
      if (order > 0) {
        if (taken.has(head)) continue;
        taken.add(head);
      }
      if (!memory.claimPages(head, order))
        throw new Error(`page frames ${head} (order ${order}) are taken already`);
    }
  };
}
