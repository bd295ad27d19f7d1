import type { Pfn, SchedPoint, Task } from '@gpusvm/kernel';
import { schedPoint } from '@gpusvm/kernel';
import { FOLIO_CACHED, FOLIO_DEVICE, FOLIO_ISOLATED, FOLIO_SWAPCACHE } from './folio-flags.ts';
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
 * @param asked - the fault site was asked for every slot with RAM, and none is to fail.
 * @returns how many slots were given back.
 */
export function* migrateUnmap(
  folios: FolioTable,
  src: MigratePfns,
  slots: number,
  faultFolio: Pfn,
  asked: boolean,
): Task<number> {
  let failed = 0;
  let drained = false;
  if (folios.machine.scheduler.preemptive) yield UNMAP;
  for (let found = nextTrouble(folios, src, 0, slots, faultFolio, asked); found !== slots; ) {
    const isolated = found >= 0;
    const i = isolated ? found : -1 - found;
    const pfn = src.pfn[i]!;
    const head = folios.head(pfn);
    if (!isolated && !drained) {
      // It may be in a batch of some CPU: at most one drain a migration, with the locks of everything collected.
      drained = true;
      const busy = (folios.flags[head]! & FOLIO_ISOLATED) !== 0;
      yield* folios.lruAddDrainAll();
      if (busy && (folios.flags[head]! & FOLIO_ISOLATED) === 0) {
        found = nextTrouble(folios, src, i, slots, faultFolio, asked);
        continue;
      }
    }
    if (isolated && folios.maps[head] !== 0) yield* tryToMigrate(folios, head, false);
    if (!isolated || folios.maps[head] !== 0 || isPinned(folios, head, faultFolio)) {
      giveBack(folios, src, i, pfn, faultFolio);
      failed++;
    }
    found = nextTrouble(folios, src, i + 1, slots, faultFolio, asked);
  }
  return failed;
}

/** Whether no RAM of a migration fails to be isolated; asks the fault site for all of it if it can at once. */
export function askIsolation(folios: FolioTable, ramSlots: number): boolean {
  return ramSlots === 0 || folios.isolateSite.tryPass(ramSlots);
}

/** Whether {@link migrateUnmap} would find nothing to do, once the fault site was asked. */
export function isUntroubled(folios: FolioTable, src: MigratePfns, slots: number, faultFolio: Pfn): boolean {
  return nextTrouble(folios, src, 0, slots, faultFolio, true) === slots;
}

/**
 * First slot from `from` on whose folio is mapped elsewhere or pinned, as `-1 - slot` if it cannot be isolated from
 * the LRU (folio_isolate_lru; device folios are on none); `slots` when there is none.
 */
function nextTrouble(
  folios: FolioTable,
  src: MigratePfns,
  from: number,
  slots: number,
  faultFolio: Pfn,
  asked: boolean,
): number {
  const { maps, orders, refs, flags, isolateSite } = folios;
  for (let i = from; i < slots; i++) {
    const slotFlags = src.flags[i]!;
    if ((slotFlags & MIGRATE_PFN_VALID) === 0) continue;
    const pfn = src.pfn[i]! | 0;
    const head = orders[pfn] === 0 ? pfn : folios.head(pfn);
    if ((flags[head]! & FOLIO_DEVICE) === 0) {
      if ((flags[head]! & FOLIO_ISOLATED) !== 0 || (!asked && isolateSite.shouldFail())) return -1 - i;
    }
    const alone = maps[head] === 0 && refs[head] === 1 && orders[head] === 0;
    if (!alone && (maps[head] !== 0 || isPinned(folios, head, faultFolio))) return i;
    if ((slotFlags & MIGRATE_PFN_COMPOUND) !== 0) i += 511;
  }
  return slots;
}

/** migrate_vma_check_page: more references than map counts and known holders. */
function isPinned(folios: FolioTable, head: Pfn, faultFolio: Pfn): boolean {
  const flags = folios.flags[head]!;
  let extra = 1;
  if ((flags & FOLIO_DEVICE) !== 0) extra++;
  if (head === faultFolio) extra++;
  if ((flags & FOLIO_CACHED) !== 0) extra++;
  if ((flags & FOLIO_SWAPCACHE) !== 0) extra += 2 ** folios.orders[head]!;
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
