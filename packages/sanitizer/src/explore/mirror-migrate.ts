import {
  MIGRATE_PFN_MIGRATE,
  MIGRATE_PFN_VALID,
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_SYSTEM,
  migrateDeviceFinalize,
  migrateDevicePages,
  migrateDevicePfns,
  MigratePfns,
  MigrateVma,
  type Mm,
  type VmFault,
  VM_FAULT_OOM,
} from '@gpusvm/hmm';
import { done, EFAULT, type Pfn, schedPoint, type Task } from '@gpusvm/kernel';
import type { MirrorDevice } from './mirror-device.ts';

const ALLOC = schedPoint('mirror: allocate destinations');

/**
 * Migrate pages of one VMA to the device, as many as can; may sleep.
 *
 * @returns pages that moved; -EINVAL when there is no such VMA; -EFAULT when the process is gone.
 */
export function* migrateToDevice(dev: MirrorDevice, startPage: number, endPage: number): Task<number> {
  const { mm } = dev;
  if (!mm.mmgetNotZero()) return -EFAULT;
  yield* dev.ops.exclude(dev);
  yield* mm.mmapLock.downRead();
  try {
    const args = migration(dev, mm, startPage, endPage, MIGRATE_VMA_SELECT_SYSTEM);
    const err = yield* dev.ops.setup(args);
    if (err === 0) return yield* finish(dev, args, () => dev.ops.reserve(dev));
    dev.inHand.delete(args.src);
    return err;
  } finally {
    mm.mmapLock.upRead();
    dev.ops.include(dev);
    mm.mmput();
  }
}

/** The provider's part of a CPU fault on a device page; the mmap lock is held for reading (migrate_to_ram). */
export function* migrateToRam(dev: MirrorDevice, vmf: VmFault): Task<number> {
  const faultFolio = dev.ops.faultFolio(vmf);
  const { mm, page } = vmf;
  const args = migration(dev, mm, page, page + 1, MIGRATE_VMA_SELECT_DEVICE_PRIVATE, faultFolio);
  if ((yield* dev.ops.setup(args)) !== 0) {
    dev.inHand.delete(args.src);
    return 0;
  }
  let short = false;
  yield* finish(dev, args, () => {
    const pfn = allocLocked(dev);
    short ||= pfn < 0;
    return done(pfn);
  });
  return short ? VM_FAULT_OOM : 0;
}

/**
 * Try once to move every page of the device back to RAM, without an address space (eviction, unbind); may sleep. As with
 * migrate_device_range, the caller tries again for pages that somebody had locked.
 *
 * @returns pages that are still on the device.
 */
export function* evict(dev: MirrorDevice): Task<number> {
  const { folios, pagemap } = dev;
  const src = new MigratePfns(pagemap.pages);
  const dst = new MigratePfns(pagemap.pages);
  dev.inHand.set(src, () => slotsText(src, dst));
  for (let i = 0; i < pagemap.pages; i++) src.pfn[i] = pagemap.basePfn + i;
  yield* migrateDevicePfns(folios, src, pagemap.pages);
  if (src.flags.some((flags) => (flags & MIGRATE_PFN_MIGRATE) !== 0)) {
    yield* fillDestinations(dev, src, dst, pagemap.pages, () => done(allocLocked(dev)));
    yield* migrateDevicePages(folios, src, dst, pagemap.pages);
  }
  yield* migrateDeviceFinalize(folios, src, dst, pagemap.pages);
  dev.inHand.delete(src);
  return pagemap.liveReferences;
}

function migration(
  dev: MirrorDevice,
  mm: Mm,
  startPage: number,
  endPage: number,
  flags: number,
  faultFolio: Pfn = -1,
): MigrateVma {
  const pages = Math.max(endPage - startPage, 1);
  const src = new MigratePfns(pages);
  const dst = new MigratePfns(pages);
  dev.inHand.set(src, () => slotsText(src, dst));
  return new MigrateVma({
    mm,
    vma: mm.vmaLookup(startPage),
    startPage,
    endPage,
    src,
    dst,
    pgmapOwner: dev,
    flags,
    faultFolio,
  });
}

/** Allocate, copy, commit, finalize; returns pages that moved. */
function* finish(dev: MirrorDevice, args: MigrateVma, alloc: () => Task<Pfn>): Task<number> {
  if (args.cpages > 0) {
    yield* fillDestinations(dev, args.src, args.dst, args.npages, alloc);
    yield* dev.ops.commit(args);
  }
  const moved = dev.ops.moved(args);
  yield* dev.ops.finalize(args);
  dev.inHand.delete(args.src);
  return moved;
}

/** Give every slot that migrates a page with the contents of its source; those that get none stay. */
function* fillDestinations(
  dev: MirrorDevice,
  src: MigratePfns,
  dst: MigratePfns,
  slots: number,
  alloc: () => Task<Pfn>,
): Task<void> {
  if (dev.mm.machine.scheduler.preemptive) yield ALLOC;
  for (let i = 0; i < slots; i++) {
    const flags = src.flags[i]!;
    if ((flags & MIGRATE_PFN_MIGRATE) === 0) continue;
    const to = yield* alloc();
    if (to < 0) continue;
    yield* dev.ops.copy(dev, (flags & MIGRATE_PFN_VALID) === 0 ? -1 : src.pfn[i]!, to);
    dst.pfn[i] = to;
    dst.flags[i] = MIGRATE_PFN_VALID;
  }
}

/** A page of RAM as migration wants its destinations: locked, one reference. */
function allocLocked(dev: MirrorDevice): Pfn {
  const pfn = dev.folios.allocFolio(0);
  if (pfn >= 0) dev.folios.trylock(pfn);
  return pfn;
}

function slotsText(src: MigratePfns, dst: MigratePfns): string {
  return [src.pfn, src.flags, dst.pfn, dst.flags].map((slots) => slots.join()).join('/');
}
