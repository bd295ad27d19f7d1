import type { Task } from '@gpusvm/kernel';
import { FOLIO_CACHED } from './folio-flags.ts';
import type { FolioTable } from './folio-table.ts';
import type { Mm } from './mm.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier-invalidate.ts';
import { mmuNotifierRange } from './mmu-notifier-range.ts';
import type { AddressSpace } from './page-cache.ts';
import { splitHugePmdEdges } from './split-pmd.ts';
import { zapRange } from './zap.ts';

/**
 * Cut pages off a file or shared memory (truncate_pagecache; unmap_mapping_range of mm/memory.c): every process that maps
 * them hears CLEAR and loses the entries, private copies too, and the pages leave the cache. Later accesses find fresh
 * pages, since the model's files have no end. May sleep.
 *
 * @param fromOffset - first page of the file that goes; everything behind goes too.
 */
export function* truncate(folios: FolioTable, space: AddressSpace, fromOffset: number): Task<void> {
  for (const mm of folios.mms.all()) yield* unmapMapping(mm, space, fromOffset);
  for (const [offset, pfn] of space.pages) {
    if (offset < fromOffset || folios.order(pfn) !== 0) continue;
    space.pages.delete(offset);
    folios.flags[pfn]! &= ~FOLIO_CACHED;
    folios.put(pfn);
  }
  for (const offset of space.written.keys()) if (offset >= fromOffset) space.written.delete(offset);
  for (const [offset, slot] of space.slots) {
    if (offset < fromOffset) continue;
    space.slots.delete(offset);
    folios.swap.free(slot);
  }
}

function* unmapMapping(mm: Mm, space: AddressSpace, fromOffset: number): Task<void> {
  yield* mm.mmapLock.downRead();
  for (const vma of mm.vmas.all().slice()) {
    if (vma.mapping !== space) continue;
    const first = Math.max(vma.startPage, vma.startPage + fromOffset - vma.pageOffset);
    if (first >= vma.endPage) continue;
    const range = mmuNotifierRange('CLEAR', first, vma.endPage);
    if (mm.notifiers !== null) yield* mmuNotifierInvalidateRangeStart(mm, range);
    yield* splitHugePmdEdges(mm, first, vma.endPage);
    zapRange(mm, first, vma.endPage, 'keep');
    if (mm.notifiers !== null) yield* mmuNotifierInvalidateRangeEnd(mm, range);
  }
  mm.mmapLock.upRead();
}
