import { EBUSY, type Errno, type Pfn, type Task } from '@gpusvm/kernel';
import type { FolioTable } from './folio-table.ts';
import { migrateDeviceFinalize, migrateDevicePages, migrateDevicePfns } from './migrate-device.ts';
import { MIGRATE_PFN_MIGRATE, MIGRATE_PFN_VALID, MigratePfns } from './migrate-pfns.ts';

/**
 * Bring one page of coherent device memory to RAM without its driver (migrate_device_coherent_folio), which a long pin
 * needs. Single pages only. May sleep.
 *
 * @returns 0; -EBUSY when the folio is large, locked, referenced by somebody, or there is no memory.
 */
export function* migrateDeviceCoherentFolio(folios: FolioTable, head: Pfn): Task<Errno> {
  if (folios.order(head) !== 0) return -EBUSY;
  const src = new MigratePfns(1);
  const dst = new MigratePfns(1);
  src.pfn[0] = head;
  yield* migrateDevicePfns(folios, src, 1);
  const both = MIGRATE_PFN_VALID | MIGRATE_PFN_MIGRATE;
  const target = (src.flags[0]! & both) === both ? folios.allocFolio(0) : -1;
  if (target >= 0) {
    folios.trylock(target);
    folios.writeTag(target, folios.readTag(head));
    dst.set(0, target);
  }
  yield* migrateDevicePages(folios, src, dst, 1);
  const moved = (src.flags[0]! & MIGRATE_PFN_MIGRATE) !== 0;
  yield* migrateDeviceFinalize(folios, src, dst, 1);
  return moved ? 0 : -EBUSY;
}
