import { EAGAIN, EBUSY, type Errno, type Pfn, type SchedPoint, type Task, schedPoint } from '@gpusvm/kernel';
import {
  FOLIO_ANON,
  FOLIO_CACHED,
  FOLIO_DEVICE,
  FOLIO_PINNED,
  FOLIO_SWAPCACHE,
  FOLIO_WAITERS,
} from './folio-flags.ts';
import type { FolioTable } from './folio-table.ts';
import { removeMigrationEntries } from './migration-entry.ts';
import { tryToMigrate } from './unmap-folio.ts';

const SPLIT: SchedPoint = schedPoint('split_folio');

/**
 * Split a large anonymous or device folio into single pages (split_folio, mm/huge_memory.c). All mappings become
 * migration entries meanwhile, so every address space that maps it is notified. Of a RAM folio, pages that contain
 * only zeros are replaced by the zero page. May sleep.
 *
 * The caller holds the folio lock and one reference; on success both are the head page's, and the other pages live
 * by their mappings. Asks the fault site `hmm.split_folio`.
 *
 * @returns 0; -EBUSY for a page-cache folio, one whose swap slots are in use, or an injected failure; -EAGAIN when somebody else has a reference.
 */
export function* splitFolio(folios: FolioTable, head: Pfn): Task<Errno> {
  const order = folios.order(head);
  const err = yield* split(folios, head);
  if (folios.splitTrace.enabled) folios.splitTrace.emit({ head, order, err });
  return err;
}

function* split(folios: FolioTable, head: Pfn): Task<Errno> {
  const pages = 2 ** folios.order(head);
  if (folios.machine.scheduler.preemptive) yield SPLIT;
  if (folios.splitSite.shouldFail() || (folios.flags[head]! & FOLIO_CACHED) !== 0) return -EBUSY;
  // A cached large folio would take its slots apart; without them it is split like any other.
  if ((folios.flags[head]! & FOLIO_SWAPCACHE) !== 0 && !folios.swap.freeCache(head)) return -EBUSY;
  if (folios.refs[head]! - folios.maps[head]! !== 1) return -EAGAIN;
  yield* tryToMigrate(folios, head, true);
  if (folios.refs[head] !== 1 || folios.maps[head] !== 0) {
    removeMigrationEntries(folios, head, head, pages);
    return -EAGAIN;
  }
  divide(folios, head, pages);
  const zeroes = (folios.flags[head]! & (FOLIO_DEVICE | FOLIO_ANON)) === FOLIO_ANON;
  for (let i = 0; i < pages; i++) removeMigrationEntries(folios, head + i, head + i, 1, zeroes);
  for (let i = 1; i < pages; i++) {
    folios.unlock(head + i);
    folios.put(head + i);
  }
  return 0;
}

/**
 * Split a folio that a migration has unmapped, in place (folio_split_unmapped): every page ends up locked with one
 * reference. Demands that the migration's reference is the only one. Does not sleep; asks `hmm.split_folio`.
 *
 * @returns 0; -EAGAIN when there are more references; -EBUSY for an injected failure.
 */
export function splitUnmappedFolio(folios: FolioTable, head: Pfn): Errno {
  const order = folios.order(head);
  let err: Errno = 0;
  if (folios.splitSite.shouldFail()) err = -EBUSY;
  else if (folios.refs[head] !== 1 || folios.maps[head] !== 0) err = -EAGAIN;
  else divide(folios, head, 2 ** order);
  if (folios.splitTrace.enabled) folios.splitTrace.emit({ head, order, err });
  return err;
}

/** __folio_split: an unmapped folio with one reference becomes single pages, each locked with one reference. */
function divide(folios: FolioTable, head: Pfn, pages: number): void {
  const flags = folios.flags[head]! & ~(FOLIO_WAITERS | FOLIO_PINNED);
  folios.rmap.split(head, pages);
  folios.orders.fill(0, head, head + pages);
  folios.flags.fill(flags, head + 1, head + pages);
  folios.refs.fill(1, head + 1, head + pages);
  const pagemap = folios.pagemapOf(head);
  const ops = pagemap?.type === 'private' ? pagemap.ops : undefined;
  if (ops?.folioSplit === undefined) return;
  for (let i = 1; i < pages; i++) ops.folioSplit(head, head + i);
  ops.folioSplit(head, null);
}
