import type { Pfn, SchedPoint, Task } from '@gpusvm/kernel';
import { schedPoint } from '@gpusvm/kernel';
import { SWAP_OUT } from './counters.ts';
import {
  FOLIO_ANON,
  FOLIO_CACHED,
  FOLIO_DEVICE,
  FOLIO_DIRTY,
  FOLIO_HEAD,
  FOLIO_LAZYFREE,
  FOLIO_SWAPCACHE,
} from './folio-flags.ts';
import type { FolioTable } from './folio-table.ts';
import type { AddressSpace } from './page-cache.ts';
import { MM_SWAP } from './tracepoints.ts';
import { tryToUnmap } from './try-to-unmap.ts';

const RECLAIM: SchedPoint = schedPoint('shrink_folio_list');
const WRITEOUT: SchedPoint = schedPoint('shrink_folio_list: writeout');

/** Where a page-cache page belongs; reclaim has to take it out of there. */
export interface CachedAt {
  readonly space: AddressSpace;
  readonly offset: number;
}

/** What becomes of a dirty large folio that is written to swap. */
export interface ReclaimOptions {
  /** For a folio of a page cache: where it belongs; without it such a folio stays. */
  readonly at?: CachedAt | null;
  /**
   * Do not wait for the write (MADV_PAGEOUT): as the folio cannot be freed under it, it stays in the swap cache until the
   * next reclaim, and an access maps it whole. Single pages come back the same from cache and from swap, so they go.
   */
  readonly async?: boolean;
}

/**
 * Reclaim one folio (shrink_folio_list, mm/vmscan.c): isolate it from the LRU, lock it if nobody has, give it swap
 * slots, unmap it everywhere (CLEAR for every address space), write it out and free it. Lazily freed folios that are
 * clean are dropped without swap. A folio that is pinned, mapped in a locked VMA, or referenced by somebody else
 * stays; if it was unmapped by then it stays in the swap cache, and the next access finds it there.
 *
 * May sleep. Asks the fault site `hmm.isolate_lru`.
 *
 * @returns whether the folio was freed.
 */
export function* reclaimFolio(folios: FolioTable, head: Pfn, o: ReclaimOptions = {}): Task<boolean> {
  const { at = null, async = false } = o;
  if (!folios.isolateLru(head)) return false;
  if (folios.machine.scheduler.preemptive) yield RECLAIM;
  let freed = false;
  if (folios.trylock(head)) {
    const flags = folios.flags[head]!;
    if ((flags & FOLIO_CACHED) !== 0) freed = at !== null && (yield* reclaimCached(folios, head, at));
    else if ((flags & FOLIO_ANON) !== 0) freed = yield* reclaimAnon(folios, head, async);
    folios.unlock(head);
  }
  folios.putbackLru(head);
  return freed;
}

/** Everything but the last reference, which the isolation holds. */
function* reclaimAnon(folios: FolioTable, head: Pfn, async: boolean): Task<boolean> {
  const { swap } = folios;
  if (folios.pinCount(head) > 0) return false;
  const cached = (folios.flags[head]! & FOLIO_SWAPCACHE) !== 0;
  if (!cached && (folios.flags[head]! & FOLIO_LAZYFREE) !== 0) {
    yield* tryToUnmap(folios, head, 'lazyfree');
    return folios.maps[head] === 0 && folios.refs[head] === 1;
  }
  if (!cached) {
    const slot = swap.find(2 ** folios.order(head));
    if (slot < 0) return false;
    swap.addCache(head, slot);
    folios.flags[head]! |= FOLIO_DIRTY;
  }
  yield* tryToUnmap(folios, head, 'swap');
  if (folios.maps[head] !== 0) {
    swap.freeCache(head);
    return false;
  }
  if (folios.machine.scheduler.preemptive) yield WRITEOUT;
  // What is clean is in its slots already. Who writes to memory without the CPU has to say so (folio_mark_dirty).
  const written = (folios.flags[head]! & FOLIO_DIRTY) !== 0;
  if (written) swap.write(head);
  folios.flags[head]! &= ~FOLIO_DIRTY;
  if (async && written && folios.order(head) !== 0) return false;
  // __remove_mapping: somebody who took a reference meanwhile keeps the folio in the cache.
  if (folios.refs[head] !== 1 + 2 ** folios.order(head) || folios.maps[head] !== 0) return false;
  folios.counters.values[SWAP_OUT]! += 2 ** folios.order(head);
  const point = folios.machine.trace.point(MM_SWAP);
  const pages = 2 ** folios.order(head);
  if (point.enabled) point.emit({ direction: 'out', pfn: head, pages, slot: swap.slotOf(head) });
  swap.deleteCache(head);
  return true;
}

function* reclaimCached(folios: FolioTable, head: Pfn, at: CachedAt): Task<boolean> {
  if (folios.order(head) !== 0) return false;
  yield* tryToUnmap(folios, head, 'file');
  if (folios.maps[head] !== 0 || folios.refs[head] !== 2) return false;
  return folios.pageCache.writeBackAndDrop(at.space, at.offset, head);
}

/**
 * Reclaim anonymous folios in the order of their pfns, going round from where the last call stopped (a clock in place
 * of the kernel's LRU lists), until `pages` are free or every folio was tried. May sleep.
 *
 * @returns pages that were freed.
 */
export function* shrinkAnon(folios: FolioTable, pages: number): Task<number> {
  let freed = 0;
  const end = folios.ramPages;
  for (let tried = 0; tried < end && freed < pages; ) {
    const pfn = folios.reclaimCursor % end;
    const flags = folios.flags[pfn]!;
    const size = (flags & FOLIO_HEAD) === 0 ? 1 : 2 ** folios.order(pfn);
    folios.reclaimCursor = pfn + size;
    tried += size;
    if ((flags & (FOLIO_ANON | FOLIO_DEVICE)) !== FOLIO_ANON) continue;
    if (yield* reclaimFolio(folios, pfn)) freed += size;
  }
  return freed;
}
