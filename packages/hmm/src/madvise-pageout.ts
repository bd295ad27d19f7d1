import { EINVAL, type Errno, type Pfn, type Task } from '@gpusvm/kernel';
import { FOLIO_CACHED, FOLIO_DEVICE } from './folio-flags.ts';
import { splitFolio } from './folio-split.ts';
import { madviseWalkVmas } from './madvise-walk.ts';
import type { Mm } from './mm.ts';
import { PTE_KIND, PTE_PRESENT } from './pte.ts';
import { type CachedAt, reclaimFolio } from './reclaim.ts';
import type { Vma } from './vma.ts';

/**
 * Write pages out now (MADV_PAGEOUT, mm/madvise.c): each folio that nobody else maps is reclaimed, anonymous memory to
 * swap, files to their file. Device pages, shared pages and what is not present are skipped. A large folio that lies
 * in the range only partly is split first. Nothing is sent for the range; reclaim sends CLEAR folio by folio. Holds the
 * mmap lock for reading; may sleep.
 *
 * @returns 0, whatever could be reclaimed; -EINVAL for a bad range or a locked, hugetlb or I/O VMA; -ENOMEM when a part
 * is not mapped, after the mapped parts were done.
 */
export function madvisePageout(mm: Mm, startPage: number, pages: number): Task<Errno> {
  return madviseWalkVmas(mm, startPage, pages, function* (vma, from, to) {
    if (vma.locked || vma.hugetlb || vma.io) return -EINVAL;
    for (let page = from; page < to; ) {
      const head = yield* alone(mm, page, from, to);
      if (head >= 0) yield* reclaimFolio(mm.folios, head, { at: cachedAt(mm, vma, page, head), async: true });
      page++;
    }
    return 0;
  });
}

/**
 * Expect no more use of pages (MADV_COLD). Ageing has no effect in this model, so all that is seen is that large
 * folios which lie in the range only partly are split. Errors as {@link madvisePageout}.
 */
export function madviseCold(mm: Mm, startPage: number, pages: number): Task<Errno> {
  return madviseWalkVmas(mm, startPage, pages, function* (vma, from, to) {
    if (vma.locked || vma.hugetlb || vma.io) return -EINVAL;
    for (let page = from; page < to; page++) yield* alone(mm, page, from, to);
    return 0;
  });
}

/** Head of the folio at a page if this process alone maps it and it is whole in the range, else -1. */
function* alone(mm: Mm, page: number, from: number, to: number): Task<Pfn> {
  const { folios } = mm;
  if ((mm.entryBits(page) & PTE_KIND) !== PTE_PRESENT) return -1;
  const pfn = mm.pfnAt(page);
  const head = folios.head(pfn);
  if ((folios.flags[head]! & FOLIO_DEVICE) !== 0) return -1;
  const order = folios.order(head);
  const limit = mm.isPmdMapped(page) ? 1 : 2 ** order;
  if (folios.mapcount(head) > limit) return -1;
  const first = page - (pfn - head);
  const inside = first >= from && first + 2 ** order <= to;
  if (order === 0 || (inside && folios.mapcount(head) === limit && isPresent(mm, first, order))) return head;
  if (!folios.trylock(head)) return -1;
  folios.get(head);
  const err = yield* splitFolio(folios, head);
  folios.unlock(head);
  folios.put(head);
  return err === 0 && (mm.entryBits(page) & PTE_KIND) === PTE_PRESENT ? mm.pfnAt(page) : -1;
}

/** madvise_folio_pte_batch: an entry that is not present, exclusive to a device, is not counted. */
function isPresent(mm: Mm, first: number, order: number): boolean {
  if (mm.isPmdMapped(first)) return true;
  for (let page = first; page < first + 2 ** order; page++) {
    if ((mm.entryBits(page) & PTE_KIND) !== PTE_PRESENT) return false;
  }
  return true;
}

function cachedAt(mm: Mm, vma: Vma, page: number, head: Pfn): CachedAt | null {
  if (vma.mapping === null || (mm.folios.flags[head]! & FOLIO_CACHED) === 0) return null;
  return { space: vma.mapping, offset: vma.offsetOf(page) };
}
