import { EINVAL, type Errno, type Pfn, type Task } from '@gpusvm/kernel';
import { MIGRATE_COLLECTED } from './counters.ts';
import { FOLIO_DEVICE } from './folio-flags.ts';
import { migrateVmaCollect } from './migrate-collect.ts';
import { finalizeAtOnce, finalizeSlots } from './migrate-finalize.ts';
import { migratePages } from './migrate-pages.ts';
import { MIGRATE_PFN_COMPOUND, MIGRATE_PFN_MIGRATE, type MigratePfns } from './migrate-pfns.ts';
import { askIsolation, isUntroubled, migrateUnmap } from './migrate-unmap.ts';
import type { Mm } from './mm.ts';
import {
  invalidateRangeEndAtOnce,
  mmuNotifierInvalidateRangeEnd,
  mmuNotifierInvalidateRangeStart,
} from './mmu-notifier-invalidate.ts';
import type { MmuNotifierRange } from './mmu-notifier-range.ts';
import type { MigrateSlotsEvent } from './protocol-tracepoints.ts';
import type { MigrateEvent } from './tracepoints.ts';
import type { Vma } from './vma.ts';

/** Arguments of a migration by virtual address. */
export interface MigrateVmaArgs {
  readonly mm: Mm;
  readonly vma: Vma | null;
  readonly startPage: number;
  /** Exclusive. */
  readonly endPage: number;
  readonly src: MigratePfns;
  readonly dst: MigratePfns;
  /** Owner of the device pages that may be collected, and of the MIGRATE notifications. */
  readonly pgmapOwner: object | null;
  /** MIGRATE_VMA_SELECT_* bits. */
  readonly flags: number;
  /** `VmFault.folio` when called from `migrateToRam`: its lock and one reference belong to the fault. */
  readonly faultFolio?: Pfn;
}

/** A migration by virtual address (struct migrate_vma). */
export class MigrateVma {
  readonly mm: Mm;
  readonly vma: Vma | null;
  readonly startPage: number;
  /** Exclusive. */
  readonly endPage: number;
  readonly src: MigratePfns;
  readonly dst: MigratePfns;
  readonly pgmapOwner: object | null;
  readonly flags: number;
  /** -1 when there is none. */
  readonly faultFolio: Pfn;
  /** Slots that migrate; a compound slot counts once. */
  cpages = 0;
  /** @internal 4K pages in slots that migrate, after collect. */
  collected = 0;
  /** @internal slots with RAM, after collect. */
  ramSlots = 0;
  /** Slots filled by setup, those that do not migrate included. */
  npages = 0;

  constructor(o: MigrateVmaArgs) {
    this.mm = o.mm;
    this.vma = o.vma;
    this.startPage = o.startPage;
    this.endPage = o.endPage;
    this.src = o.src;
    this.dst = o.dst;
    this.pgmapOwner = o.pgmapOwner;
    this.flags = o.flags;
    this.faultFolio = o.faultFolio ?? -1;
  }
}

/**
 * Collect, isolate and unmap what can migrate (migrate_vma_setup, mm/migrate_device.c). Afterwards `src` says slot by
 * slot what migrates; a page in it is locked, unmapped and stable, so the driver may copy. Every success must be
 * followed by `migrateVmaFinalize`, also when nothing migrates or the driver fails.
 *
 * The mmap lock is held, for reading is enough. May sleep in notifiers and in splitting. Cost: about 20 ns a page.
 *
 * @returns 0, also when nothing migrates; -EINVAL for a range without pages or not inside `vma`, a hugetlb, I/O or
 * mixed VMA, arrays that are too short, or a fault folio that is not a locked device folio.
 */
export function* migrateVmaSetup(args: MigrateVma): Task<Errno> {
  const { mm, vma, startPage, endPage, src, dst } = args;
  mm.mmapLock.assertHeld();
  const slots = endPage - startPage;
  if (vma === null || vma.hugetlb || vma.special || slots <= 0) return -EINVAL;
  if (startPage < vma.startPage || endPage > vma.endPage) return -EINVAL;
  if (src.pfn.length < slots || dst.pfn.length < slots) return -EINVAL;
  if (args.faultFolio >= 0 && !isLockedDevice(mm, args.faultFolio)) return -EINVAL;
  args.cpages = 0;
  args.npages = 0;
  const range: MmuNotifierRange = {
    event: 'MIGRATE',
    startPage,
    endPage,
    owner: args.pgmapOwner,
    blockable: true,
  };
  if (mm.notifiers !== null) yield* mmuNotifierInvalidateRangeStart(mm, range);
  yield* migrateVmaCollect(args);
  if (mm.notifiers !== null) {
    if (mm.machine.scheduler.preemptive) yield* mmuNotifierInvalidateRangeEnd(mm, range);
    else invalidateRangeEndAtOnce(mm, range);
  }
  let failed = 0;
  if (args.cpages > 0) {
    const { folios } = mm;
    const { npages, faultFolio } = args;
    const asked = askIsolation(folios, args.ramSlots);
    const quick = asked && !mm.machine.scheduler.preemptive && isUntroubled(folios, src, npages, faultFolio);
    if (!quick) failed = yield* migrateUnmap(folios, src, npages, faultFolio, asked);
  }
  args.cpages -= failed;
  const pages = failed === 0 ? args.collected : migratingPages(src, args.npages);
  mm.folios.counters.values[MIGRATE_COLLECTED]! += pages;
  traceSlots(args, 'setup');
  trace(args, 'setup');
  return 0;
}

/**
 * Move the metadata of every slot with a destination: mapping, flags and dirtiness pass from source to destination,
 * and holes get their new page (migrate_vma_pages). Contents are the driver's business and must be complete. A slot
 * that keeps MIGRATE is committed. The mmap lock is still held. May sleep in notifiers.
 */
export function* migrateVmaPages(args: MigrateVma): Task<void> {
  traceSlots(args, 'pages');
  yield* migratePages(args.mm.folios, args.src, args.dst, args.npages, args);
  traceSlots(args, 'committed');
  trace(args, 'pages');
}

/**
 * Make the result visible to the CPU: migration entries become entries for the destination of committed slots and for
 * the source of all others; locks and references of the migration go (migrate_vma_finalize). The mmap lock is still
 * held. Does not sleep in this model.
 */
export function* migrateVmaFinalize(args: MigrateVma): Task<void> {
  traceSlots(args, 'finalize');
  const { mm, src, dst, npages, faultFolio } = args;
  if (mm.machine.scheduler.preemptive) yield* finalizeSlots(mm.folios, src, dst, npages, faultFolio);
  else finalizeAtOnce(mm.folios, src, dst, npages, faultFolio);
  traceSlots(args, 'finalized');
  trace(args, 'finalize');
}

function isLockedDevice(mm: Mm, head: Pfn): boolean {
  return (mm.folios.flags[head]! & FOLIO_DEVICE) !== 0 && mm.folios.isLocked(head);
}

/** 4K pages in slots that still migrate. */
export function migratingPages(src: MigratePfns, slots: number): number {
  let pages = 0;
  for (let i = 0; i < slots; i++) {
    const flags = src.flags[i]!;
    if ((flags & MIGRATE_PFN_MIGRATE) === 0) continue;
    if ((flags & MIGRATE_PFN_COMPOUND) === 0) {
      pages++;
    } else {
      pages += 512;
      i += 511;
    }
  }
  return pages;
}

function trace(args: MigrateVma, phase: MigrateEvent['phase']): void {
  const point = args.mm.folios.migrateTrace;
  if (!point.enabled) return;
  const pages = migratingPages(args.src, args.npages);
  point.emit({ phase, mm: args.mm.name, startPage: args.startPage, slots: args.npages, pages });
}

function traceSlots(args: MigrateVma, phase: MigrateSlotsEvent['phase']): void {
  const point = args.mm.folios.protocol.migrateSlots;
  if (!point.enabled) return;
  const { src, dst, npages: slots, faultFolio, startPage, mm } = args;
  point.emit({ phase, src, dst, slots, faultFolio, startPage, mm });
}
