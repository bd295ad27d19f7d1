import type { Pfn, SchedPoint, Task } from '@gpusvm/kernel';
import { schedPoint } from '@gpusvm/kernel';
import {
  FOLIO_CACHED,
  FOLIO_DEVICE,
  FOLIO_DEVICE_MASK,
  FOLIO_HWPOISON,
  FOLIO_ISOLATED,
  FOLIO_LOCKED,
  FOLIO_SWAPCACHE,
  FOLIO_WAITERS,
} from './folio-flags.ts';
import type { DevPagemap } from './dev-pagemap.ts';
import type { FolioTable } from './folio-table.ts';
import {
  MIGRATE_PFN_COMPOUND,
  MIGRATE_PFN_MIGRATE,
  MIGRATE_PFN_VALID,
  type MigratePfns,
} from './migrate-pfns.ts';
import { removeMigrationEntries } from './migration-entry.ts';
import type { PmdNode } from './page-table.ts';
import { PTE_DEVICE, PTE_KIND, PTE_MIGRATION, PTE_PRESENT } from './pte.ts';

const COMMITTED = MIGRATE_PFN_VALID | MIGRATE_PFN_MIGRATE;
/** What needs the full test of freeing a folio. */
const UNUSUAL = FOLIO_CACHED | FOLIO_SWAPCACHE | FOLIO_ISOLATED | FOLIO_HWPOISON;
const FINALIZE: SchedPoint = schedPoint('migrate_device_finalize');

/**
 * Finalize phase (__migrate_device_finalize): put page-table entries back, for the destination of committed slots and
 * for the source of all others, then drop locks and references. Unused destinations are freed.
 */
export function* finalizeSlots(
  folios: FolioTable,
  src: MigratePfns,
  dst: MigratePfns,
  slots: number,
  faultFolio: Pfn,
): Task<void> {
  const { preemptive } = folios.machine.scheduler;
  for (let from = 0; from < slots; from += 512) {
    if (preemptive) yield FINALIZE;
    finalizeRun(folios, src, dst, from, Math.min(from + 512, slots), faultFolio);
  }
}

/** {@link finalizeSlots} where nobody preempts: no generator. */
export function finalizeAtOnce(
  folios: FolioTable,
  src: MigratePfns,
  dst: MigratePfns,
  slots: number,
  faultFolio: Pfn,
): void {
  for (let from = 0; from < slots; from += 512)
    finalizeRun(folios, src, dst, from, Math.min(from + 512, slots), faultFolio);
}

function finalizeRun(
  folios: FolioTable,
  src: MigratePfns,
  dst: MigratePfns,
  from: number,
  to: number,
  faultFolio: Pfn,
): void {
  const { orders } = folios;
  const cursor = new CommitCursor(folios, src, dst, faultFolio);
  folios.gather.begin();
  for (let i = cursor.commitRun(from, to); i < to; i = cursor.commitRun(i + 1, to)) {
    const flags = src.flags[i]!;
    const hasDst = (dst.flags[i]! & MIGRATE_PFN_VALID) !== 0;
    if ((flags & MIGRATE_PFN_VALID) === 0) {
      if (hasDst) release(folios, dst.pfn[i]!);
      continue;
    }
    const head = folios.head(src.pfn[i]! | 0);
    const committed = hasDst && (flags & MIGRATE_PFN_MIGRATE) !== 0;
    const target = committed ? dst.pfn[i]! : head;
    removeMigrationEntries(folios, head, target, 1 << orders[head]!);
    if (hasDst) release(folios, dst.pfn[i]!);
    if (head !== faultFolio) folios.unlock(head);
    folios.put(head);
    if (!committed && hasDst) dst.clear(i, i + 1);
    // The other slots of a folio that moved whole are empty; those of one that did not may hold unused pages.
    if ((flags & MIGRATE_PFN_COMPOUND) !== 0 && committed) i += 511;
  }
  folios.gather.end();
}

function release(folios: FolioTable, head: Pfn): void {
  folios.unlock(head);
  folios.put(head);
}

/**
 * The common case in one go: single pages with one mapper that moved. What removeMigrationEntries, unlock and put
 * would do to references cancels out, except that the source is freed.
 */
class CommitCursor {
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

  /** Finish slots of the common case; returns the first one that is not, or `slots`. */
  commitRun(from: number, slots: number): number {
    const folios = this.#folios;
    const { refs, maps, flags, orders, rmap, gather, ramPages } = folios;
    const { mmIds, bases } = rmap;
    const { pfn: srcPfn, flags: srcFlags } = this.#src;
    const { pfn: dstPfn, flags: dstFlags } = this.#dst;
    const shared = rmap.anyShared;
    let mmId = -1;
    let node: PmdNode | null = null;
    let pagemap: DevPagemap | null = null;
    let start = 0;
    for (let i = from; i < slots; i++) {
      if ((srcFlags[i]! & COMMITTED) !== COMMITTED || (dstFlags[i]! & MIGRATE_PFN_VALID) === 0) return i;
      const source = srcPfn[i]! | 0;
      const target = dstPfn[i]! | 0;
      const state = flags[source]! | flags[target]!;
      if ((state & FOLIO_WAITERS) !== 0 || refs[source] !== 1 || orders[source] !== 0) return i;
      if (source === this.#faultFolio || (shared && rmap.isShared(target))) return i;
      const page = bases[target]!;
      let slot = (page - start) | 0;
      if (node === null || mmId !== mmIds[target] || slot < 0 || slot >= 512 || page - start !== slot) {
        mmId = mmIds[target]!;
        node = folios.mms.family(mmId)[0]?.pageTable.nodeOf(page) ?? null;
        if (node === null || node.huge !== 0) return i;
        start = node.startPage;
        slot = page - start;
      }
      const entry = node.bits[slot]!;
      if ((entry & PTE_KIND) !== PTE_MIGRATION || node.pfn[slot] !== source) return i;
      const kind = (flags[target]! & FOLIO_DEVICE_MASK) === FOLIO_DEVICE ? PTE_DEVICE : PTE_PRESENT;
      node.bits[slot] = (entry & ~PTE_KIND) | kind;
      node.pfn[slot] = target;
      // The destination's reference passes from the driver to the entry.
      maps[target]!++;
      flags[target]! &= ~FOLIO_LOCKED;
      refs[source] = 0;
      if ((state & UNUSUAL) === 0) {
        // folios.free for a page about which nothing is special; its records went to the target.
        flags[source] = 0;
        if (source < ramPages) {
          gather.free(source);
        } else {
          if (pagemap === null || !pagemap.contains(source)) pagemap = folios.pagemapOf(source)!;
          pagemap.freeFolio(source, 0);
        }
      } else {
        flags[source]! &= ~FOLIO_LOCKED;
        folios.free(source);
      }
    }
    return slots;
  }
}
