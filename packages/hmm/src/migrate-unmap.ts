import type { FaultSite, Pfn, SchedPoint, Task } from '@gpusvm/kernel';
import { schedPoint } from '@gpusvm/kernel';
import { FOLIO_CACHED, FOLIO_DEVICE } from './folio-flags.ts';
import type { FolioTable } from './folio-table.ts';
import { MIGRATE_PFN_COMPOUND, MIGRATE_PFN_VALID, type MigratePfns } from './migrate-pfns.ts';
import { removeMigrationEntries } from './migration-entry.ts';
import { tryToMigrate } from './unmap-folio.ts';

const UNMAP: SchedPoint = schedPoint('migrate_device_unmap');

/**
 * Unmap and isolate phase (migrate_device_unmap): every other mapping of the collected folios becomes a migration
 * entry too, then pages with references that nobody accounts for are given back. Isolation from the LRU can fail
 * through the fault site `hmm.isolate_lru` only. May sleep.
 *
 * @returns how many slots were given back.
 */
export function* migrateUnmap(
  folios: FolioTable,
  src: MigratePfns,
  slots: number,
  faultFolio: Pfn,
): Task<number> {
  const isolate = folios.isolateSite;
  let failed = 0;
  if (folios.machine.scheduler.preemptive) yield UNMAP;
  for (let i = 0; i < slots; i += stepOf(src.flags[i]!)) {
    if ((src.flags[i]! & MIGRATE_PFN_VALID) === 0) continue;
    const pfn = src.pfn[i]!;
    const head = folios.head(pfn);
    if (canIsolate(folios, head, isolate)) {
      if (folios.maps[head] !== 0) yield* tryToMigrate(folios, head, false);
      if (folios.maps[head] === 0 && !isPinned(folios, head, faultFolio)) continue;
    }
    giveBack(folios, src, i, pfn, faultFolio);
    failed++;
  }
  return failed;
}

function stepOf(flags: number): number {
  return (flags & MIGRATE_PFN_COMPOUND) !== 0 ? 512 : 1;
}

/** folio_isolate_lru; device folios are on no LRU. */
function canIsolate(folios: FolioTable, head: Pfn, site: FaultSite): boolean {
  return (folios.flags[head]! & FOLIO_DEVICE) !== 0 || !site.shouldFail();
}

/** migrate_vma_check_page: more references than map counts and known holders. */
function isPinned(folios: FolioTable, head: Pfn, faultFolio: Pfn): boolean {
  const flags = folios.flags[head]!;
  // Large folios migrate since device THP only.
  if (folios.orders[head] !== 0 && !folios.machine.profile.hmm.deviceThp) return true;
  let extra = 1;
  if ((flags & FOLIO_DEVICE) !== 0) extra++;
  if (head === faultFolio) extra++;
  if ((flags & FOLIO_CACHED) !== 0) extra++;
  return folios.refs[head]! - extra > folios.maps[head]!;
}

/** Map the page again and drop the migration's lock and reference. */
function giveBack(folios: FolioTable, src: MigratePfns, slot: number, pfn: Pfn, faultFolio: Pfn): void {
  const head = folios.head(pfn);
  removeMigrationEntries(folios, head, head, 2 ** folios.order(head));
  if (head !== faultFolio) folios.unlock(head);
  folios.put(head);
  src.clear(slot, slot + 1);
}
