import { type Pfn, PMD_ORDER, type SchedPoint, type Task, schedPoint } from '@gpusvm/kernel';
import { MIGRATE_MOVED } from './counters.ts';
import {
  FOLIO_ANON,
  FOLIO_CACHED,
  FOLIO_DEVICE,
  FOLIO_DIRTY,
  FOLIO_LAZYFREE,
  FOLIO_SWAPCACHE,
} from './folio-flags.ts';
import { splitUnmappedFolio } from './folio-split.ts';
import type { FolioTable } from './folio-table.ts';
import { insertPage, insertPmd } from './migrate-insert.ts';
import {
  MIGRATE_PFN_COMPOUND,
  MIGRATE_PFN_MIGRATE,
  MIGRATE_PFN_VALID,
  MIGRATE_PFN_WRITE,
  type MigratePfns,
} from './migrate-pfns.ts';
import type { MigrateVma } from './migrate-vma.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier-invalidate.ts';
import type { MmuNotifierRange } from './mmu-notifier-range.ts';
import { splitHugePmd } from './split-pmd.ts';

/** A slot with a page that migrates. */
const SMALL_PAGE = MIGRATE_PFN_VALID | MIGRATE_PFN_MIGRATE;
/** What a folio's flags hand to its destination (folio_migrate_flags). */
const CARRIED = FOLIO_ANON | FOLIO_DIRTY | FOLIO_LAZYFREE;
const PAGES: SchedPoint = schedPoint('migrate_vma_pages');

/**
 * Pages phase (__migrate_device_pages): commit every slot that has a destination, clear MIGRATE in all others.
 *
 * @param args - the migration by virtual address, null for one by pfn, which has no holes and cannot split.
 */
export function* migratePages(
  folios: FolioTable,
  src: MigratePfns,
  dst: MigratePfns,
  slots: number,
  args: MigrateVma | null,
): Task<void> {
  const { preemptive } = folios.machine.scheduler;
  const mover = new Mover(folios, src, dst, args?.faultFolio ?? -1);
  let open: MmuNotifierRange | null = null;
  let i = 0;
  for (;;) {
    if (preemptive) yield PAGES;
    i = mover.moveRun(i, slots, args !== null);
    if (i >= slots) break;
    if ((src.flags[i]! & MIGRATE_PFN_VALID) !== 0) {
      // Compound source, single destinations: split it here and look at the slot again, or leave it.
      if (!(yield* splitSource(args!, i))) i = mover.refuse(i);
      continue;
    }
    if (args!.mm.notifiers !== null && open === null) {
      open = holesRange(args!, i);
      yield* mmuNotifierInvalidateRangeStart(args!.mm, open);
    }
    const compound = (src.flags[i]! & MIGRATE_PFN_COMPOUND) !== 0;
    mover.moved += yield* compound ? fillPmdHole(args!, i) : fillHole(args!, i);
    i += compound ? 512 : 1;
  }
  if (open !== null) yield* mmuNotifierInvalidateRangeEnd(args!.mm, open);
  folios.counters.values[MIGRATE_MOVED]! += mover.moved;
}

/** One notification from the first hole to the end of the migration. */
function holesRange(args: MigrateVma, slot: number): MmuNotifierRange {
  const { startPage, endPage, pgmapOwner } = args;
  return { event: 'MIGRATE', startPage: startPage + slot, endPage, owner: pgmapOwner, blockable: true };
}

/** A PMD-sized hole: whole if the destination is, else from 512 destination slots. Pages that were inserted. */
function* fillPmdHole(args: MigrateVma, slot: number): Task<number> {
  const { src, dst, mm, startPage } = args;
  if ((dst.flags[slot]! & MIGRATE_PFN_COMPOUND) !== 0) return insertPmd(args, slot) ? 512 : 0;
  yield* splitHugePmd(mm, startPage + slot);
  src.flags.fill(MIGRATE_PFN_MIGRATE, slot, slot + 512);
  let pages = 0;
  for (let i = slot; i < slot + 512; i++) {
    if ((dst.flags[i]! & MIGRATE_PFN_VALID) === 0) src.flags[i] = 0;
    else if (insertPage(args, i)) pages++;
  }
  return pages;
}

/** A hole of one page. The huge zero page, should it be there by now, is split first. Pages that were inserted. */
function* fillHole(args: MigrateVma, slot: number): Task<number> {
  const page = args.startPage + slot;
  if (args.mm.isPmdMapped(page) && args.mm.entryKind(page) === 'zero') yield* splitHugePmd(args.mm, page);
  return insertPage(args, slot) ? 1 : 0;
}

/**
 * migrate_vma_split_unmapped_folio: the source becomes 512 slots. The page tables are split first and stay so when the
 * folio cannot be.
 */
function* splitSource(args: MigrateVma, slot: number): Task<boolean> {
  const { src, mm } = args;
  const head = src.pfn[slot]!;
  for (const place of mm.folios.rmap.places(head)) yield* splitHugePmd(place.mm, place.base);
  if (splitUnmappedFolio(mm.folios, head) !== 0) return false;
  const flags = MIGRATE_PFN_VALID | MIGRATE_PFN_MIGRATE | (src.flags[slot]! & MIGRATE_PFN_WRITE);
  for (let i = 0; i < 512; i++) {
    src.pfn[slot + i] = head + i;
    src.flags[slot + i] = flags;
  }
  return true;
}

class Mover {
  /** 4K pages committed. */
  moved = 0;
  readonly #folios: FolioTable;
  readonly #src: MigratePfns;
  readonly #dst: MigratePfns;
  readonly #faultFolio: Pfn;

  constructor(folios: FolioTable, src: MigratePfns, dst: MigratePfns, faultFolio: Pfn) {
    this.#folios = folios;
    this.#src = src;
    this.#dst = dst;
    this.#faultFolio = faultFolio;
  }

  /**
   * Handle slots that need no sleep. With a VMA, stops at a hole to fill and at a compound source with single
   * destinations; without one, refuses them.
   *
   * @returns the slot where it stopped, `slots` at the end.
   */
  moveRun(from: number, slots: number, hasVma: boolean): number {
    const src = this.#src.flags;
    const dst = this.#dst.flags;
    let i = from;
    while (i < slots) {
      const flags = src[i]!;
      if (
        (flags & (SMALL_PAGE | MIGRATE_PFN_COMPOUND)) === SMALL_PAGE &&
        (dst[i]! & MIGRATE_PFN_VALID) !== 0
      ) {
        i = this.#moveSmall(i, slots);
        continue;
      }
      const compound = (flags & MIGRATE_PFN_COMPOUND) !== 0;
      if ((flags & MIGRATE_PFN_MIGRATE) === 0) {
        i += compound ? 512 : 1;
      } else if ((dst[i]! & MIGRATE_PFN_VALID) === 0) {
        i = this.refuse(i);
      } else if ((flags & MIGRATE_PFN_VALID) === 0 || (dst[i]! & MIGRATE_PFN_COMPOUND) === 0) {
        if (hasVma) return i;
        i = this.refuse(i);
      } else {
        this.#move(i);
        i += 512;
      }
    }
    return i;
  }

  /** A run of single pages; at least the one at `from`. Returns the slot that follows. */
  #moveSmall(from: number, slots: number): number {
    const { pfn: srcPfn, flags: srcFlags } = this.#src;
    const { pfn: dstPfn, flags: dstFlags } = this.#dst;
    const { orders, flags, refs, rmap } = this.#folios;
    const { mmIds, bases } = rmap;
    const shared = rmap.anyShared;
    let i = from;
    for (; i < slots; i++) {
      if ((srcFlags[i]! & (SMALL_PAGE | MIGRATE_PFN_COMPOUND)) !== SMALL_PAGE) break;
      if ((dstFlags[i]! & MIGRATE_PFN_VALID) === 0) break;
      const source = srcPfn[i]! | 0;
      const target = dstPfn[i]! | 0;
      const state = flags[source]!;
      const plain =
        refs[source] === 1 && (state & FOLIO_CACHED) === 0 && (orders[source]! | orders[target]!) === 0;
      if (!plain || shared) {
        this.#move(i);
        continue;
      }
      mmIds[target] = mmIds[source]!;
      bases[target] = bases[source]!;
      mmIds[source] = 0;
      bases[source] = target;
      flags[target]! |= state & CARRIED;
      flags[source] = state & ~FOLIO_ANON;
      this.moved++;
    }
    return i;
  }

  /** The slot's source stays where it is. Returns the slot that follows. */
  refuse(slot: number): number {
    const flags = this.#src.flags[slot]!;
    this.#src.flags[slot] = flags & ~MIGRATE_PFN_MIGRATE;
    return (flags & MIGRATE_PFN_COMPOUND) !== 0 ? slot + 512 : slot + 1;
  }

  /** folio_migrate_mapping and folio_migrate_flags, or refuse. */
  #move(slot: number): void {
    const { orders, flags, refs, rmap } = this.#folios;
    const from = this.#src.pfn[slot]! | 0;
    const to = this.#dst.pfn[slot]! | 0;
    const order = orders[from]!;
    if (orders[to] !== order || (order !== 0 && order !== PMD_ORDER)) {
      this.refuse(slot);
      return;
    }
    let state = flags[from]!;
    const expected = from === this.#faultFolio ? 2 : 1;
    // Page-cache pages cannot live in device memory, and any reference nobody accounts for is fatal here.
    if ((state & FOLIO_SWAPCACHE) !== 0) {
      if (!this.#moveSwapCache(from, to)) {
        this.refuse(slot);
        return;
      }
      state = flags[from]!;
    }
    if ((state & FOLIO_CACHED) !== 0 || refs[from] !== expected) {
      this.refuse(slot);
      return;
    }
    rmap.move(from, to);
    flags[to]! |= state & CARRIED;
    flags[from] = state & ~FOLIO_ANON;
    this.moved += 1 << order;
  }
  /** Device memory cannot be in the swap cache (folio_free_swap); RAM takes its entry along. */
  #moveSwapCache(from: Pfn, to: Pfn): boolean {
    const { swap, flags } = this.#folios;
    if (swap.freeCache(from)) return true;
    if ((flags[to]! & FOLIO_DEVICE) !== 0) return false;
    swap.moveCache(from, to);
    return true;
  }
}
