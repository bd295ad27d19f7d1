import { EINVAL, type Errno, type Pfn, type Task } from '@gpusvm/kernel';
import { FOLIO_ANON, FOLIO_DEVICE, FOLIO_DIRTY, FOLIO_LAZYFREE, FOLIO_SWAPCACHE } from './folio-flags.ts';
import { splitFolio } from './folio-split.ts';
import { madviseWalkVmas } from './madvise-walk.ts';
import type { Mm } from './mm.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier-invalidate.ts';
import { mmuNotifierRange } from './mmu-notifier-range.ts';
import type { PmdNode } from './page-table.ts';
import { MARKER_HWPOISON, MARKER_POISON, PTE_DIRTY, PTE_KIND, PTE_PRESENT, PTE_SWAP } from './pte.ts';
import { splitHugePmd } from './split-pmd.ts';
import { isMarker } from './try-to-unmap.ts';

/**
 * Let the kernel drop pages when it likes (MADV_FREE, mm/madvise.c): until they are written again, reclaim may free
 * them without swap, and the next access finds zeros. Swap slots go at once. Pages that somebody shares, and device
 * pages, are left alone; a device-private PMD is no error either. Sends CLEAR for each VMA. Holds the mmap lock for
 * reading; may sleep.
 *
 * @returns 0; -EINVAL for a bad range or a VMA that is not private anonymous memory, or locked; -ENOMEM when a part is
 * not mapped, after the mapped parts were done.
 */
export function madviseFree(mm: Mm, startPage: number, pages: number): Task<Errno> {
  return madviseWalkVmas(mm, startPage, pages, function* (vma, from, to) {
    if (!vma.anonymous || vma.locked) return -EINVAL;
    const range = mmuNotifierRange('CLEAR', from, to);
    if (mm.notifiers !== null) yield* mmuNotifierInvalidateRangeStart(mm, range);
    yield* freeRange(mm, from, to);
    if (mm.notifiers !== null) yield* mmuNotifierInvalidateRangeEnd(mm, range);
    return 0;
  });
}

function* freeRange(mm: Mm, startPage: number, endPage: number): Task<void> {
  const endPmd = Math.ceil(endPage / 512);
  let node = mm.pageTable.next(Math.floor(startPage / 512), endPmd);
  for (; node !== null; node = mm.pageTable.next(node.index + 1, endPmd)) {
    const from = Math.max(startPage, node.startPage);
    const to = Math.min(endPage, node.startPage + 512);
    if (node.huge !== 0) {
      if ((node.huge & PTE_KIND) !== PTE_PRESENT) continue;
      if (to - from === 512) {
        freeLeaf(mm, node);
        continue;
      }
      yield* splitHugePmd(mm, from);
    }
    yield* freeEntries(mm, node, from, to);
  }
}

/** madvise_free_huge_pmd */
function freeLeaf(mm: Mm, node: PmdNode): void {
  const head = mm.folios.head(node.hugePfn);
  if (markLazyfree(mm, head)) node.huge &= ~PTE_DIRTY;
}

/** madvise_free_pte_range */
function* freeEntries(mm: Mm, node: PmdNode, from: number, to: number): Task<void> {
  const { folios } = mm;
  for (let page = from; page < to; page++) {
    const slot = page - node.startPage;
    const kind = node.bits[slot]! & PTE_KIND;
    if (kind === PTE_SWAP) folios.swap.free(node.pfn[slot]!);
    if (kind === PTE_SWAP || isMarker(node, slot, MARKER_POISON) || isMarker(node, slot, MARKER_HWPOISON)) {
      node.bits[slot] = 0;
      node.used--;
      continue;
    }
    if (kind !== PTE_PRESENT) continue;
    const head = folios.head(node.pfn[slot]!);
    if (folios.order(head) !== 0 && !(yield* splitPartly(mm, node, page, to, head))) {
      page = Math.min(to, page + 2 ** folios.order(head)) - 1;
      continue;
    }
    if (kind !== (node.bits[slot]! & PTE_KIND)) continue;
    if (markLazyfree(mm, folios.head(node.pfn[slot]!))) node.bits[slot]! &= ~PTE_DIRTY;
  }
}

/** A large folio met by single entries is split, if this is all that maps it. */
function* splitPartly(mm: Mm, node: PmdNode, page: number, to: number, head: Pfn): Task<boolean> {
  const { folios } = mm;
  const here = Math.min(to, node.startPage + 512) - page;
  if (folios.mapcount(head) > 2 ** folios.order(head) || here <= 0 || !folios.trylock(head)) return false;
  folios.get(head);
  const err = yield* splitFolio(folios, head);
  folios.unlock(head);
  folios.put(head);
  return err === 0;
}

/** folio_mark_lazyfree for a page that this entry alone maps. */
function markLazyfree(mm: Mm, head: Pfn): boolean {
  const { folios } = mm;
  const flags = folios.flags[head]!;
  if ((flags & (FOLIO_ANON | FOLIO_DEVICE)) !== FOLIO_ANON || folios.maps[head] !== 1) return false;
  if (folios.isLocked(head)) return false;
  if ((flags & FOLIO_SWAPCACHE) !== 0 && !folios.swap.freeCache(head)) return false;
  folios.flags[head] = (folios.flags[head]! & ~FOLIO_DIRTY) | FOLIO_LAZYFREE;
  return true;
}
