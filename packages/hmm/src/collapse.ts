import {
  EAGAIN,
  EBUSY,
  EINVAL,
  ENOMEM,
  type Errno,
  PMD_ORDER,
  type Pfn,
  type Task,
  done,
} from '@gpusvm/kernel';
import { COLLAPSE } from './counters.ts';
import { handleMmFault } from './cpu-fault.ts';
import { FOLIO_ANON } from './folio-flags.ts';
import { type CollapseLimits, checkPages, type ScanResult, scanPmd } from './collapse-scan.ts';
import { mapPmd, unmapFolioPage } from './map-entry.ts';
import { madviseWalkVmas } from './madvise-walk.ts';
import type { Mm } from './mm.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier-invalidate.ts';
import { mmuNotifierRange } from './mmu-notifier-range.ts';
import type { PmdNode } from './page-table.ts';
import { PTE_ANON_EXCLUSIVE, PTE_DIRTY, PTE_KIND, PTE_PRESENT, PTE_WRITE, PTE_ZERO } from './pte.ts';
import { COLLAPSE_TRACE } from './tracepoints.ts';
import type { Vma } from './vma.ts';

/** MADV_COLLAPSE has no limits. */
const NO_LIMITS: CollapseLimits = { maxNone: 512, maxSwap: 512, maxShared: 512, needsReferenced: false };
/** khugepaged: /sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_{none,swap,shared}. */
const KHUGEPAGED: CollapseLimits = { maxNone: 511, maxSwap: 64, maxShared: 256, needsReferenced: true };

/**
 * Make huge pages now (MADV_COLLAPSE, mm/khugepaged.c): every whole 2 MiB of private anonymous memory in the range is
 * copied into one folio. Pages that are not present are faulted in first, by which device-private memory comes back to
 * RAM; present coherent pages prevent it. Sends CLEAR for each 2 MiB. Takes the mmap lock, for writing too; may sleep.
 *
 * @returns 0 when every 2 MiB of the range is a huge page now; -EINVAL for a bad range, in 6.12 also one inside of a
 * 2 MiB, for a VMA that never had an anonymous page or has no whole aligned 2 MiB, for other memory, or where a page
 * cannot be collapsed; -ENOMEM for an unmapped part or without memory; -EAGAIN when pages were locked, isolated or
 * referenced by somebody; -EBUSY.
 */
export function* madviseCollapse(mm: Mm, startPage: number, pages: number): Task<Errno> {
  const blocks: number[] = [];
  const old = mm.machine.profile.hmm.collapseNeedsWritable;
  const err = yield* madviseWalkVmas(mm, startPage, pages, (vma, from, to) => {
    if (!vma.anonymous || vma.noHugepage || !vma.fitsPmd(Math.floor(vma.endPage / 512) * 512 - 512)) {
      return done(-EINVAL);
    }
    const first = Math.ceil(from / 512) * 512;
    const end = Math.floor(to / 512) * 512;
    // thp_vma_allowable_order: not before the first anonymous page. A range without a whole block is then fine in 7.3.
    if (vma.anonVma === null || (old && end < first)) return done(-EINVAL);
    for (let page = first; page < end; page += 512) blocks.push(page);
    return done(0);
  });
  if (err !== 0) return err;
  let last: ScanResult = 'succeed';
  for (const page of blocks) {
    const result = yield* collapsePmd(mm, page, NO_LIMITS);
    if (result !== 'succeed' && result !== 'pmd-mapped') last = result;
    if (result === 'alloc-fail' || result === 'vma-check' || result === 'fail') break;
  }
  return errnoOf(last);
}

/**
 * One pass of khugepaged over an address space: collapses every 2 MiB of VMAs with MADV_HUGEPAGE that keeps within the
 * limits (at most 511 empty, 64 not present, 256 shared entries). May sleep.
 *
 * @returns huge pages made.
 */
export function* khugepaged(mm: Mm): Task<number> {
  let made = 0;
  for (const vma of mm.vmas.all().slice()) {
    if (!vma.hugepage || !vma.anonymous) continue;
    for (let page = Math.ceil(vma.startPage / 512) * 512; page + 512 <= vma.endPage; page += 512) {
      if ((yield* collapsePmd(mm, page, KHUGEPAGED)) === 'succeed') made++;
    }
  }
  return made;
}

/** hpage_collapse_scan_pmd and collapse_huge_page */
function* collapsePmd(mm: Mm, page: number, limits: CollapseLimits): Task<ScanResult> {
  const result = yield* tryCollapse(mm, page, limits);
  const point = mm.machine.trace.point(COLLAPSE_TRACE);
  if (point.enabled) point.emit({ mm: mm.name, startPage: page, result });
  return result;
}

function* tryCollapse(mm: Mm, page: number, limits: CollapseLimits): Task<ScanResult> {
  yield* mm.mmapLock.downRead();
  const first = suitable(mm, page) === null ? 'vma-check' : scanPmd(mm, page, limits);
  mm.mmapLock.upRead();
  if (first !== 'succeed' && first !== 'swap') return first;
  const head = mm.folios.allocFolio(PMD_ORDER);
  if (head < 0) return 'alloc-fail';
  let result: ScanResult = 'succeed';
  if (first === 'swap') result = yield* bringIn(mm, page);
  if (result === 'succeed') {
    yield* mm.mmapLock.downWrite();
    result = yield* replace(mm, page, limits, head);
    mm.mmapLock.upWrite();
  }
  mm.folios.put(head);
  if (result === 'succeed') mm.folios.counters.values[COLLAPSE]!++;
  return result;
}

/** hugepage_vma_revalidate */
function suitable(mm: Mm, page: number): Vma | null {
  const vma = mm.vmas.lookup(page);
  return vma !== null && vma.anonymous && !vma.noHugepage && vma.fitsPmd(page) ? vma : null;
}

/** __collapse_huge_page_swapin: whatever is not present goes through the CPU fault. */
function* bringIn(mm: Mm, start: number): Task<ScanResult> {
  yield* mm.mmapLock.downRead();
  let result: ScanResult = 'succeed';
  for (let page = start; page < start + 512 && result === 'succeed'; page++) {
    const vma = suitable(mm, start);
    if (vma === null) result = 'vma-check';
    else if (isAbsent(mm.entryBits(page)) && (yield* handleMmFault(mm, vma, page, false)) !== 0)
      result = 'fail';
  }
  mm.mmapLock.upRead();
  return result;
}

function isAbsent(bits: number): boolean {
  const kind = bits & PTE_KIND;
  return bits !== 0 && kind !== PTE_PRESENT && kind !== PTE_ZERO;
}

function* replace(mm: Mm, page: number, limits: CollapseLimits, head: Pfn): Task<ScanResult> {
  const vma = suitable(mm, page);
  if (vma === null) return 'vma-check';
  const range = mmuNotifierRange('CLEAR', page, page + 512);
  if (mm.notifiers !== null) yield* mmuNotifierInvalidateRangeStart(mm, range);
  if (mm.notifiers !== null) yield* mmuNotifierInvalidateRangeEnd(mm, range);
  const node = mm.pageTable.nodeOf(page);
  if (node === null || node.huge !== 0) return 'pmd-null';
  const result = checkPages(mm, node, limits);
  if (result !== 'succeed') return result;
  moveInto(mm, vma, node, head);
  return 'succeed';
}

/** __collapse_huge_page_copy: from here on nothing can fail. */
function moveInto(mm: Mm, vma: Vma, node: PmdNode, head: Pfn): void {
  const { folios } = mm;
  folios.flags[head]! |= FOLIO_ANON;
  folios.gather.begin();
  for (let slot = 0; slot < 512; slot++) {
    const bits = node.bits[slot]!;
    const pfn = node.pfn[slot]!;
    if ((bits & PTE_KIND) !== PTE_PRESENT) continue;
    folios.writeTag(head + slot, folios.readTag(pfn));
    unmapFolioPage(folios, pfn);
  }
  folios.gather.end();
  const index = node.index;
  mm.pageTable.remove(node);
  mapPmd(mm, index, head, PTE_PRESENT | PTE_DIRTY | PTE_ANON_EXCLUSIVE | (vma.write ? PTE_WRITE : 0));
}

/** madvise_collapse_errno */
function errnoOf(result: ScanResult): Errno {
  if (result === 'succeed' || result === 'pmd-mapped') return 0;
  if (result === 'alloc-fail') return -ENOMEM;
  if (result === 'exceed-none') return -EBUSY;
  return result === 'page-count' || result === 'page-lock' || result === 'page-lru' ? -EAGAIN : -EINVAL;
}
