import { EINVAL, ENOMEM, type Errno, type Task } from '@gpusvm/kernel';
import {
  MIGRATE_PFN_COMPOUND,
  MIGRATE_PFN_MIGRATE,
  MIGRATE_PFN_VALID,
  MIGRATE_PFN_WRITE,
  MIGRATE_VMA_SELECT_COMPOUND,
  MIGRATE_VMA_SELECT_DEVICE_COHERENT,
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_SYSTEM,
  MigratePfns,
} from '../migrate-pfns.ts';
import { MigrateVma, migrateVmaFinalize, migrateVmaPages, migrateVmaSetup } from '../migrate-vma.ts';
import { copyToDevice, copyToRam } from './copy.ts';
import type { Dmirror } from './dmirror.ts';

const MOVED = MIGRATE_PFN_VALID | MIGRATE_PFN_MIGRATE;

/** dmirror_migrate_to_device without reading back. */
export function migrateToDevice(file: Dmirror, page: number, pages: number): Task<Errno> {
  return forChunks(file, page, pages, MIGRATE_VMA_SELECT_SYSTEM, function* (args) {
    copyToDevice(file, args);
    yield* migrateVmaPages(args);
    yield* mapCommitted(file, args);
    return 0;
  });
}

/** dmirror_migrate_to_system: what moved, counted in slots. */
export function* migrateToSystem(
  file: Dmirror,
  page: number,
  pages: number,
): Task<{ err: Errno; moved: number }> {
  const select =
    file.device.type === 'private' ? MIGRATE_VMA_SELECT_DEVICE_PRIVATE : MIGRATE_VMA_SELECT_DEVICE_COHERENT;
  let moved = 0;
  const err = yield* forChunks(file, page, pages, select, function* (args) {
    const copied = (slot: number, count: number): void => file.forget(args.startPage + slot, count);
    if (!copyToRam(file.device, args.src, args.dst, args.npages, { copied })) return -ENOMEM;
    yield* migrateVmaPages(args);
    for (let i = 0; i < args.npages; i++) if ((args.src.flags[i]! & MOVED) === MOVED) moved++;
    return 0;
  });
  return { err, moved };
}

/** Both directions: chunks of 512 pages from the start of the request on, before device THP of 64. */
function* forChunks(
  file: Dmirror,
  page: number,
  pages: number,
  select: number,
  body: (args: MigrateVma) => Task<Errno>,
): Task<Errno> {
  const { mm } = file;
  if (!mm.mmgetNotZero()) return -EINVAL;
  yield* mm.mmapLock.downRead();
  const thp = mm.machine.profile.hmm.deviceThp;
  const end = page + pages;
  let err: Errno = 0;
  for (let from = page; from < end && err === 0; ) {
    const vma = mm.vmas.lookup(from);
    if (vma === null || !vma.read) {
      err = -EINVAL;
      break;
    }
    const to = Math.min(end, from + (thp ? 512 : 64), vma.endPage);
    const args = new MigrateVma({
      mm,
      vma,
      startPage: from,
      endPage: to,
      src: new MigratePfns(to - from),
      dst: new MigratePfns(to - from),
      pgmapOwner: file.device,
      flags: select | (thp ? MIGRATE_VMA_SELECT_COMPOUND : 0),
    });
    err = yield* migrateVmaSetup(args);
    if (err !== 0) break;
    err = yield* body(args);
    yield* migrateVmaFinalize(args);
    from = to;
  }
  mm.mmapLock.upRead();
  mm.mmput();
  return err;
}

/** dmirror_migrate_finalize_and_map */
function* mapCommitted(file: Dmirror, args: MigrateVma): Task<void> {
  const { src, dst, startPage } = args;
  yield* file.mutex.lock();
  for (let i = 0; i < args.npages; i++) {
    if ((src.flags[i]! & MIGRATE_PFN_MIGRATE) === 0 || (dst.flags[i]! & MIGRATE_PFN_VALID) === 0) continue;
    const pages = (dst.flags[i]! & MIGRATE_PFN_COMPOUND) === 0 ? 1 : 512;
    const access = (dst.flags[i]! & MIGRATE_PFN_WRITE) === 0 ? 'read' : 'write';
    for (let k = 0; k < pages; k++) file.table.set(startPage + i + k, dst.pfn[i]! + k, access);
    i += pages - 1;
  }
  file.mutex.unlock();
}
