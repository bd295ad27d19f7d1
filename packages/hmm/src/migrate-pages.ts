import { type Pfn, PMD_ORDER, type SchedPoint, type Task, schedPoint } from '@gpusvm/kernel';
import { MIGRATE_MOVED } from './counters.ts';
import { FOLIO_ANON, FOLIO_CACHED, FOLIO_DIRTY } from './folio-flags.ts';
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
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-interval-notifier.ts';
import type { MmuNotifierRange } from './mmu-notifier-range.ts';
import { splitHugePmd } from './split-pmd.ts';

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
  for (let i = 0; i < slots; i++) {
    if (preemptive && (i & 511) === 0) yield PAGES;
    const flags = src.flags[i]!;
    const step = (flags & MIGRATE_PFN_COMPOUND) !== 0 ? 511 : 0;
    if ((flags & MIGRATE_PFN_MIGRATE) === 0) {
      i += step;
    } else if ((dst.flags[i]! & MIGRATE_PFN_VALID) === 0) {
      src.flags[i]! &= ~MIGRATE_PFN_MIGRATE;
      i += step;
    } else if ((flags & MIGRATE_PFN_VALID) === 0) {
      if (args !== null && args.mm.notifiers !== null && open === null) {
        // One notification from the first hole to the end of the migration.
        open = {
          event: 'MIGRATE',
          startPage: args.startPage + i,
          endPage: args.endPage,
          owner: args.pgmapOwner,
          blockable: true,
        };
        yield* mmuNotifierInvalidateRangeStart(args.mm, open);
      }
      if (args === null) src.flags[i]! &= ~MIGRATE_PFN_MIGRATE;
      else if (step === 0) mover.countHole((yield* insertPage(args, i)) ? 1 : 0);
      else mover.countHole(yield* fillPmdHole(args, i));
      i += step;
    } else if (step !== 0 && (dst.flags[i]! & MIGRATE_PFN_COMPOUND) === 0) {
      // Compound source, single destinations: split it here, if there is a VMA, and look at the slot again.
      if (args !== null && (yield* splitSource(args, i))) i--;
      else i += mover.refuse(i);
    } else {
      i += mover.move(i);
    }
  }
  if (open !== null) yield* mmuNotifierInvalidateRangeEnd(args!.mm, open);
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
    else if (yield* insertPage(args, i)) pages++;
  }
  return pages;
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

  countHole(pages: number): void {
    this.#folios.counters.values[MIGRATE_MOVED]! += pages;
  }

  /** The slot's source stays where it is. Returns how many further slots belong to it. */
  refuse(slot: number): number {
    const compound = (this.#src.flags[slot]! & MIGRATE_PFN_COMPOUND) !== 0;
    this.#src.flags[slot]! &= ~MIGRATE_PFN_MIGRATE;
    return compound ? 511 : 0;
  }

  /** folio_migrate_mapping and folio_migrate_flags. Returns how many further slots belong to the folio. */
  move(slot: number): number {
    const folios = this.#folios;
    const from = this.#src.pfn[slot]!;
    const to = this.#dst.pfn[slot]!;
    const order = folios.orders[from]!;
    if (folios.orders[to] !== order || (order !== 0 && order !== PMD_ORDER)) return this.refuse(slot);
    const flags = folios.flags[from]!;
    const expected = from === this.#faultFolio ? 2 : 1;
    // Page-cache pages cannot live in device memory, and any reference nobody accounts for is fatal here.
    if ((flags & FOLIO_CACHED) !== 0 || folios.refs[from] !== expected) return this.refuse(slot);
    folios.rmap.move(from, to);
    folios.flags[to]! |= flags & (FOLIO_ANON | FOLIO_DIRTY);
    folios.flags[from] = flags & ~FOLIO_ANON;
    folios.counters.values[MIGRATE_MOVED]! += 2 ** order;
    return order === 0 ? 0 : 511;
  }
}
