import type { Pfn } from '@gpusvm/kernel';
import {
  MIGRATE_PFN_COMPOUND,
  MIGRATE_PFN_MIGRATE,
  MIGRATE_PFN_VALID,
  MIGRATE_PFN_WRITE,
  type MigratePfns,
} from '../migrate-pfns.ts';
import type { MigrateVma } from '../migrate-vma.ts';
import type { DmirrorDevice } from './dmirror-device.ts';
import type { Dmirror } from './dmirror.ts';

const MOVING = MIGRATE_PFN_VALID | MIGRATE_PFN_MIGRATE;

/** Allocate device memory for every slot that migrates and copy (dmirror_migrate_alloc_and_copy). Does not sleep. */
export function copyToDevice(file: Dmirror, args: MigrateVma): void {
  const { src, dst } = args;
  for (let i = 0; i < args.npages; i++) {
    const flags = src.flags[i]!;
    if ((flags & MIGRATE_PFN_MIGRATE) === 0) continue;
    const hole = (flags & MIGRATE_PFN_VALID) === 0;
    const write = (flags & MIGRATE_PFN_WRITE) !== 0 || (hole && args.vma!.write) ? MIGRATE_PFN_WRITE : 0;
    const from = hole ? -1 : src.pfn[i]!;
    if ((flags & MIGRATE_PFN_COMPOUND) === 0) {
      copyInto(file, dst, i, 0, from, write);
      continue;
    }
    if (!copyInto(file, dst, i, 9, from, write)) {
      for (let k = 0; k < 512; k++) {
        if (!copyInto(file, dst, i + k, 0, hole ? -1 : from + k, write)) file.nullPages++;
      }
    }
    i += 511;
  }
}

/** One device folio for one slot; false without memory. */
function copyInto(
  file: Dmirror,
  dst: MigratePfns,
  slot: number,
  order: 0 | 9,
  from: Pfn,
  write: number,
): boolean {
  const { device, folios } = file;
  const pfn = device.alloc(order, file);
  if (pfn < 0) return false;
  for (let k = 0; k < 2 ** order; k++) device.store(pfn + k, from < 0 ? 0 : folios.readTag(from + k));
  dst.set(slot, pfn, write | (order === 9 ? MIGRATE_PFN_COMPOUND : 0));
  return true;
}

/**
 * Allocate RAM for every slot with a page of the device and copy (dmirror_devmem_fault_alloc_and_copy, and the loop of
 * dmirror_device_evict_chunk). Does not sleep.
 *
 * @param moving - called for every page that will be copied.
 * @returns false when an allocation of a single page failed.
 */
export function copyToRam(
  device: DmirrorDevice,
  src: MigratePfns,
  dst: MigratePfns,
  slots: number,
  moving: (slot: number, pages: number) => void,
): boolean {
  let complete = true;
  for (let i = 0; i < slots; i++) {
    const flags = src.flags[i]!;
    if ((flags & MOVING) !== MOVING || !device.owns(src.pfn[i]!)) continue;
    const write = flags & MIGRATE_PFN_WRITE;
    const pages = (flags & MIGRATE_PFN_COMPOUND) === 0 ? 1 : 512;
    moving(i, pages);
    if (pages === 1 || !copyBack(device, dst, i, 9, src.pfn[i]!, write)) {
      for (let k = 0; k < pages; k++) {
        if (!copyBack(device, dst, i + k, 0, src.pfn[i]! + k, write)) complete = false;
      }
    }
    i += pages - 1;
  }
  return complete;
}

function copyBack(
  device: DmirrorDevice,
  dst: MigratePfns,
  slot: number,
  order: 0 | 9,
  from: Pfn,
  write: number,
): boolean {
  const { folios } = device;
  const pfn = device.takeFailure() ? -1 : folios.allocFolio(order);
  if (pfn < 0) return false;
  folios.trylock(pfn);
  for (let k = 0; k < 2 ** order; k++) folios.writeTag(pfn + k, device.load(from + k));
  dst.set(slot, pfn, write | (order === 9 ? MIGRATE_PFN_COMPOUND : 0));
  return true;
}
