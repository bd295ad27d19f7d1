import { type Errno, type Pfn, PMD_ORDER, type SchedPoint, type Task, schedPoint } from '@gpusvm/kernel';
import { MIGRATE_COLLECTED } from './counters.ts';
import type { FolioTable } from './folio-table.ts';
import { finalizeSlots } from './migrate-finalize.ts';
import { migratePages } from './migrate-pages.ts';
import {
  MIGRATE_PFN_COMPOUND,
  MIGRATE_PFN_MIGRATE,
  MIGRATE_PFN_VALID,
  type MigratePfns,
} from './migrate-pfns.ts';
import { migrateUnmap } from './migrate-unmap.ts';
import { migratingPages } from './migrate-vma.ts';
import type { MigrateSlotsEvent } from './protocol-tracepoints.ts';

const COLLECT: SchedPoint = schedPoint('migrate_device_pfns: collect');

/**
 * Collect and unmap device folios by pfn, without an address space (migrate_device_pfns): for eviction and unbind.
 * Free pages, pages inside a folio, and folios that somebody has locked come back empty, and a folio that would
 * stick out of the array ends the collection; the caller loops for what it could not get. Every address space that
 * maps a folio is notified with CLEAR. May sleep. Must be followed by {@link migrateDeviceFinalize}.
 *
 * @param folios - the table.
 * @param src - on entry raw pfns in `pfn` (-1 = none); on return slots as after `migrateVmaSetup`.
 * @param npages - slots.
 * @returns 0 always.
 */
export function* migrateDevicePfns(folios: FolioTable, src: MigratePfns, npages: number): Task<Errno> {
  if (folios.machine.scheduler.preemptive) yield COLLECT;
  for (let i = 0; i < npages; i++) {
    const pfn = src.pfn[i]!;
    const free = pfn < 0 || folios.refs[pfn] === 0;
    if (free || folios.head(pfn) !== pfn) {
      src.clear(i, i + 1);
      continue;
    }
    const order = folios.order(pfn);
    if (i + 2 ** order > npages) {
      src.clear(i, npages);
      break;
    }
    const got = folios.trylock(pfn);
    if (got) folios.get(pfn);
    src.clear(i + 1, i + 2 ** order);
    if (got) {
      const compound = order === PMD_ORDER ? MIGRATE_PFN_COMPOUND : 0;
      src.flags[i] = MIGRATE_PFN_VALID | MIGRATE_PFN_MIGRATE | compound;
    } else {
      src.clear(i, i + 1);
    }
    i += 2 ** order - 1;
  }
  folios.counters.values[MIGRATE_COLLECTED]! += migratingPages(src, npages);
  yield* migrateUnmap(folios, src, npages, -1, true);
  traceSlots(folios, src, src, npages, 'setup');
  return 0;
}

/** As {@link migrateDevicePfns} for consecutive pfns (migrate_device_range); fills `src` itself. */
export function migrateDeviceRange(
  folios: FolioTable,
  src: MigratePfns,
  startPfn: Pfn,
  npages: number,
): Task<Errno> {
  for (let i = 0; i < npages; i++) src.pfn[i] = startPfn + i;
  return migrateDevicePfns(folios, src, npages);
}

/**
 * Commit slots with a destination (migrate_device_pages). Without a VMA nothing can be split: a large source with a
 * single destination is refused. Does not sleep in this model.
 */
export function* migrateDevicePages(
  folios: FolioTable,
  src: MigratePfns,
  dst: MigratePfns,
  npages: number,
): Task<void> {
  traceSlots(folios, src, dst, npages, 'pages');
  yield* migratePages(folios, src, dst, npages, null);
  traceSlots(folios, src, dst, npages, 'committed');
}

/** Make the result visible and drop locks and references (migrate_device_finalize). Does not sleep in this model. */
export function* migrateDeviceFinalize(
  folios: FolioTable,
  src: MigratePfns,
  dst: MigratePfns,
  npages: number,
): Task<void> {
  traceSlots(folios, src, dst, npages, 'finalize');
  yield* finalizeSlots(folios, src, dst, npages, -1);
  traceSlots(folios, src, dst, npages, 'finalized');
}

function traceSlots(
  folios: FolioTable,
  src: MigratePfns,
  dst: MigratePfns,
  slots: number,
  phase: MigrateSlotsEvent['phase'],
): void {
  const point = folios.protocol.migrateSlots;
  if (point.enabled) point.emit({ phase, src, dst, slots, faultFolio: -1, startPage: -1, mm: null });
}
