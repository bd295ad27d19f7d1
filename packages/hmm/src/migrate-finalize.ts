import type { Pfn, SchedPoint, Task } from '@gpusvm/kernel';
import { schedPoint } from '@gpusvm/kernel';
import type { FolioTable } from './folio-table.ts';
import {
  MIGRATE_PFN_COMPOUND,
  MIGRATE_PFN_MIGRATE,
  MIGRATE_PFN_VALID,
  type MigratePfns,
} from './migrate-pfns.ts';
import { removeMigrationEntries } from './migration-entry.ts';

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

function finalizeRun(
  folios: FolioTable,
  src: MigratePfns,
  dst: MigratePfns,
  from: number,
  to: number,
  faultFolio: Pfn,
): void {
  for (let i = from; i < to; i++) {
    const flags = src.flags[i]!;
    const hasDst = (dst.flags[i]! & MIGRATE_PFN_VALID) !== 0;
    if ((flags & MIGRATE_PFN_VALID) === 0) {
      if (hasDst) release(folios, dst.pfn[i]!);
      continue;
    }
    const head = folios.head(src.pfn[i]!);
    const pages = folios.orders[head] === 0 ? 1 : 2 ** folios.orders[head]!;
    const committed = hasDst && (flags & MIGRATE_PFN_MIGRATE) !== 0;
    const target = committed ? dst.pfn[i]! : head;
    removeMigrationEntries(folios, head, target, pages);
    if (hasDst) release(folios, dst.pfn[i]!);
    if (head !== faultFolio) folios.unlock(head);
    folios.put(head);
    if (!committed) dst.clear(i, i + 1);
    // The other slots of a folio that moved whole are empty; those of one that did not may hold unused pages.
    if ((flags & MIGRATE_PFN_COMPOUND) !== 0 && committed) i += 511;
  }
}

function release(folios: FolioTable, head: Pfn): void {
  folios.unlock(head);
  folios.put(head);
}
