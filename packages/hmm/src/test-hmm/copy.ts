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

/**
 * Allocate device memory for every slot that migrates and copy (dmirror_migrate_alloc_and_copy). Does not sleep.
 *
 * What was a hole is writable for the device if the VMA is; since device THP the module forgets that, so that the first
 * write to such a private page faults on a page of its own (finding F2).
 */
export function copyToDevice(file: Dmirror, args: MigrateVma): void {
  const { src, dst } = args;
  const holesWrite = args.vma!.write && !file.mm.machine.profile.hmm.deviceThp;
  for (let i = 0; i < args.npages; i++) {
    const flags = src.flags[i]!;
    if ((flags & MIGRATE_PFN_MIGRATE) === 0) continue;
    const hole = (flags & MIGRATE_PFN_VALID) === 0;
    const write = (flags & MIGRATE_PFN_WRITE) !== 0 || (holesWrite && hole) ? MIGRATE_PFN_WRITE : 0;
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

/** How pages come back. */
export interface CopyToRamOptions {
  /** Called for every page that has been copied. */
  readonly copied?: (slot: number, pages: number) => void;
  /** An eviction does not know the flag that makes allocations fail. */
  readonly evicting?: boolean;
}

/**
 * Allocate RAM for every slot with a page of the device and copy (dmirror_devmem_fault_alloc_and_copy, and the loop of
 * dmirror_device_evict_chunk). Does not sleep.
 *
 * @returns false when a single page was not to be had; no slot has a destination then.
 */
export function copyToRam(
  device: DmirrorDevice,
  src: MigratePfns,
  dst: MigratePfns,
  slots: number,
  o: CopyToRamOptions = {},
): boolean {
  const evicting = o.evicting === true;
  for (let i = 0; i < slots; i++) {
    const flags = src.flags[i]!;
    if ((flags & MOVING) !== MOVING || !device.owns(src.pfn[i]!)) continue;
    const write = flags & MIGRATE_PFN_WRITE;
    const pages = (flags & MIGRATE_PFN_COMPOUND) === 0 ? 1 : 512;
    if (pages === 1 || !copyBack(device, dst, i, 9, src.pfn[i]!, write, evicting)) {
      for (let k = 0; k < pages; k++) {
        if (copyBack(device, dst, i + k, 0, src.pfn[i]! + k, write, evicting)) continue;
        giveUp(device, dst, i + k);
        return false;
      }
    }
    o.copied?.(i, pages);
    i += pages - 1;
  }
  return true;
}

/** Free the destinations of the first slots; the module would put them in place all the same. */
function giveUp(device: DmirrorDevice, dst: MigratePfns, slots: number): void {
  const { folios } = device;
  for (let i = 0; i < slots; i++) {
    if ((dst.flags[i]! & MIGRATE_PFN_VALID) === 0) continue;
    folios.unlock(dst.pfn[i]!);
    folios.put(dst.pfn[i]!);
  }
  dst.clear(0, slots);
}

function copyBack(
  device: DmirrorDevice,
  dst: MigratePfns,
  slot: number,
  order: 0 | 9,
  from: Pfn,
  write: number,
  evicting: boolean,
): boolean {
  const { folios } = device;
  const pfn = !evicting && device.takeFailure() ? -1 : folios.allocFolio(order);
  if (pfn < 0) return false;
  folios.trylock(pfn);
  for (let k = 0; k < 2 ** order; k++) folios.writeTag(pfn + k, device.load(from + k));
  dst.set(slot, pfn, write | (order === 9 ? MIGRATE_PFN_COMPOUND : 0));
  return true;
}
