import { EINTR, type Pfn, type SchedPoint, type Task, schedPoint } from '@gpusvm/kernel';
import { setExclusive } from './exclusive-entry.ts';
import { FOLIO_ANON } from './folio-flags.ts';
import { faultWritable } from './gup-writable.ts';
import { ownsPage } from './map-entry.ts';
import type { Mm } from './mm.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier-invalidate.ts';
import type { PmdNode } from './page-table.ts';
import { PTE_KIND, PTE_PRESENT, PTE_WRITE } from './pte.ts';
import { DEVICE_EXCLUSIVE } from './tracepoints.ts';

const LOCK: SchedPoint = schedPoint('make_device_exclusive_range: folio lock');

/**
 * Take pages away from the CPU so that a device can do atomic operations on them (make_device_exclusive_range, mm/rmap.c
 * before 6.15). All pages are faulted in writable first, and PMD mappings are split; then each folio is locked if nobody
 * has, and every entry that maps it, in the range or not, becomes device-exclusive after an EXCLUSIVE notification. So
 * the head of a large folio takes the whole folio; its other pages are refused, and so is memory that is not anonymous.
 *
 * The mmap lock is held for reading. May sleep.
 *
 * @param mm - the address space.
 * @param startPage - first virtual page.
 * @param pages - where the pages go, -1 for those that were refused; its length is how many are wanted.
 * @param owner - passed in the notification.
 * @returns how many pages could be faulted in, of which those in `pages` that are not -1 are exclusive, and their folios
 * locked and referenced for the caller; when not even the first could, -EFAULT, -ENOMEM or -EINTR (fault site `hmm.fatal_signal`).
 */
export function* makeDeviceExclusiveRange(
  mm: Mm,
  startPage: number,
  pages: Float64Array,
  owner: object,
): Task<number> {
  const { folios } = mm;
  mm.mmapLock.assertHeld();
  const taken = yield* faultAll(mm, startPage, pages);
  for (let i = 0; i < taken; i++) {
    const pfn = pages[i]!;
    const head = folios.head(pfn);
    if (mm.machine.scheduler.preemptive) yield LOCK;
    if (pfn !== head || !folios.trylock(head)) {
      folios.put(head);
      pages[i] = -1;
    } else if (!(yield* excludeFolio(mm, startPage + i, head, owner))) {
      folios.unlock(head);
      folios.put(head);
      pages[i] = -1;
    }
  }
  return taken;
}

/** get_user_pages_remote: as many as can be had, each with a reference. */
function* faultAll(mm: Mm, startPage: number, pages: Float64Array): Task<number> {
  for (let i = 0; i < pages.length; i++) {
    const pfn = mm.folios.signalSite.shouldFail() ? -EINTR : yield* faultWritable(mm, startPage + i);
    if (pfn < 0) return i === 0 ? pfn : i;
    mm.folios.get(mm.folios.head(pfn));
    pages[i] = pfn;
  }
  return pages.length;
}

/** folio_make_device_exclusive: whether nothing maps the folio any more, and the page was writable where it was expected. */
function* excludeFolio(mm: Mm, page: number, head: Pfn, owner: object): Task<boolean> {
  const { folios } = mm;
  if ((folios.flags[head]! & FOLIO_ANON) === 0 || mm.vmas.lookup(page)?.hugetlb === true) return false;
  const pages = 2 ** folios.order(head);
  let valid = false;
  for (const place of folios.rmap.places(head)) {
    const { base } = place;
    for (const vma of place.mm.vmas.overlapping(Math.max(base, 0), base + pages)) {
      const from = Math.max(vma.startPage, base);
      const to = Math.min(vma.endPage, from + pages);
      if (folios.maps[head] === 0 || !place.mm.pageTable.refersTo(base, head, folios.order(head))) break;
      const range = { event: 'EXCLUSIVE', startPage: from, endPage: to, owner, blockable: true } as const;
      if (place.mm.notifiers !== null) yield* mmuNotifierInvalidateRangeStart(place.mm, range);
      const target = place.mm === mm ? page : -1;
      const seen = excludeEntries(place.mm, head, base, from, Math.min(to, base + pages), target);
      if (place.mm.notifiers !== null) yield* mmuNotifierInvalidateRangeEnd(place.mm, range);
      valid ||= seen.valid;
      if (!seen.complete) return valid && folios.maps[head] === 0;
    }
  }
  return valid && folios.maps[head] === 0;
}

/** page_make_device_exclusive_one; stops at an entry that is not present. */
function excludeEntries(
  mm: Mm,
  head: Pfn,
  base: number,
  from: number,
  to: number,
  target: number,
): { valid: boolean; complete: boolean } {
  const point = mm.machine.trace.point(DEVICE_EXCLUSIVE);
  let valid = false;
  for (let page = from; page < to; page++) {
    const node: PmdNode | null = mm.pageTable.nodeOf(page);
    if (node === null || node.huge !== 0) continue;
    const slot = page & 511;
    const bits = node.bits[slot]!;
    const pfn = node.pfn[slot]!;
    if (!ownsPage(bits) || pfn - head !== page - base) continue;
    if ((bits & PTE_KIND) !== PTE_PRESENT) return { valid, complete: false };
    if (page === target && (bits & PTE_WRITE) !== 0) valid = true;
    setExclusive(mm.folios, node, slot);
    if (point.enabled) point.emit({ mm: mm.name, page, pfn, on: true });
  }
  return { valid, complete: true };
}
