import { type Errno, type Machine, type Pfn, RwSem, type Task, type Tracepoint } from '@gpusvm/kernel';
import { cpuRead, cpuWrite } from './cpu-access.ts';
import { countEntries, type EntryCounts } from './entry-counts.ts';
import { exitMmap } from './exit-mmap.ts';
import type { FolioTable } from './folio-table.ts';
import { dupMmap } from './fork.ts';
import { type InstallOptions, installRun } from './install-run.ts';
import { madviseCollapse } from './collapse.ts';
import { madviseFree } from './madvise-free.ts';
import { madviseGuardInstall, madviseGuardRemove } from './madvise-guard.ts';
import { madviseCold, madvisePageout } from './madvise-pageout.ts';
import { mlock } from './mlock.ts';
import { madviseDontneed, madviseHugepage } from './madvise.ts';
import { mmap } from './mmap.ts';
import type { MmuNotifierSubscriptions } from './mmu-notifier-subscriptions.ts';
import { mprotect, type Protection } from './mprotect.ts';
import { type MremapOptions, mremap } from './mremap.ts';
import { munmap } from './munmap.ts';
import { PageTable } from './page-table.ts';
import { PageTableLock } from './page-table-lock.ts';
import {
  ENTRY_KINDS,
  type EntryKind,
  PTE_DIRTY,
  PTE_KIND,
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_WRITE,
  PTE_ZERO,
} from './pte.ts';
import { CPU_FAULT_TRACE, type CpuFaultEvent, MM_FORK } from './tracepoints.ts';
import type { Vma, VmaOptions } from './vma.ts';
import { VmaTree } from './vma-tree.ts';

/**
 * An address space (struct mm_struct): VMAs, a CPU page table, interval notifiers, and what the CPU sees through
 * it. Page contents are the content tags of `FolioTable.memory`.
 *
 * System calls (`mmap` and so on) take the mmap lock themselves. `users` counts who may use the address space
 * (mm_users), `count` who holds the structure (mm_count).
 */
export class Mm {
  readonly machine: Machine;
  readonly folios: FolioTable;
  readonly name: string;
  /** Small number for the reverse mapping. */
  readonly id: number;
  readonly mmapLock: RwSem;
  readonly vmas: VmaTree = new VmaTree();
  readonly pageTable: PageTable;
  /** Lock of PMD entries where they are changed by a migration. */
  readonly pmdLock: PageTableLock = new PageTableLock();
  /** Null until the first interval notifier; hot paths then skip notification. */
  notifiers: MmuNotifierSubscriptions | null = null;
  users = 1;
  count = 1;
  /** The OOM reaper was here: contents are gone and faults fail (MMF_UNSTABLE). */
  unstable = false;
  /** @internal */
  readonly faultTrace: Tracepoint<CpuFaultEvent>;

  /**
   * @param o - `name`: for reports; `parent`: from whom it is forked, internal to {@link fork}.
   */
  constructor(machine: Machine, folios: FolioTable, o: { readonly name: string; readonly parent?: Mm }) {
    this.machine = machine;
    this.folios = folios;
    this.name = o.name;
    this.pageTable = new PageTable(folios.tables);
    this.id = folios.rememberMm(this, o.parent ?? null);
    this.mmapLock = new RwSem(machine, `mmap_lock of ${o.name}`);
    this.faultTrace = machine.trace.point(CPU_FAULT_TRACE);
  }

  /** Become a user unless the address space is being torn down (mmget_not_zero). */
  mmgetNotZero(): boolean {
    if (this.users === 0) return false;
    this.users++;
    return true;
  }

  /** Stop being a user; the last one hands the teardown to a task of its own (mmput_async). */
  mmput(): void {
    if (this.users <= 0) throw new Error(`mmput of ${this.name}, which has no users`);
    if (--this.users === 0) this.machine.spawn(this.#teardown(), `exit_mmap of ${this.name}`);
  }

  /** Hold the structure (mmgrab). */
  mmgrab(): void {
    this.count++;
  }

  /** Let the structure go (mmdrop). */
  mmdrop(): void {
    if (this.count <= 0) throw new Error(`mmdrop of ${this.name}, which is gone`);
    if (--this.count === 0) this.folios.forgetMm(this);
  }

  /** The process exits (do_exit): its user reference goes, and with the last one RELEASE and all mappings. */
  *exit(): Task<void> {
    if (this.users <= 0) throw new Error(`exit of ${this.name}, which has no users`);
    if (--this.users === 0) yield* this.#teardown();
  }

  *#teardown(): Task<void> {
    yield* exitMmap(this);
    this.mmdrop();
  }

  /** First VMA that ends behind `page` (find_vma). */
  findVma(page: number): Vma | null {
    return this.vmas.find(page);
  }

  /** The VMA that contains `page` (vma_lookup). */
  vmaLookup(page: number): Vma | null {
    return this.vmas.lookup(page);
  }

  /** Map pages at a fixed place. See {@link mmap}. */
  mmap(startPage: number, pages: number, o: VmaOptions): Task<Errno> {
    return mmap(this, startPage, pages, o);
  }

  /** Unmap pages. See {@link munmap}. */
  munmap(startPage: number, pages: number): Task<Errno> {
    return munmap(this, startPage, pages);
  }

  /** Change the protection of pages. See {@link mprotect}. */
  mprotect(startPage: number, pages: number, prot: Protection): Task<Errno> {
    return mprotect(this, startPage, pages, prot);
  }

  /**
   * Make a copy of the process that shares all pages; its one user is the caller. See {@link dupMmap}.
   *
   * @returns the child, or the errno of {@link dupMmap}, and then nothing is left of it.
   */
  *fork(name: string): Task<Mm | Errno> {
    const child = new Mm(this.machine, this.folios, { name, parent: this });
    const err = yield* dupMmap(this, child);
    const point = this.machine.trace.point(MM_FORK);
    if (point.enabled) point.emit({ parent: this.name, child: name, err });
    if (err === 0) return child;
    yield* child.exit();
    return err;
  }

  /** Move, grow or shrink a mapping. See {@link mremap}. */
  mremap(oldPage: number, oldPages: number, newPages: number, o: MremapOptions = {}): Task<number> {
    return mremap(this, oldPage, oldPages, newPages, o);
  }

  /** Drop the contents of pages. See {@link madviseDontneed}. */
  madviseDontneed(startPage: number, pages: number): Task<Errno> {
    return madviseDontneed(this, startPage, pages);
  }

  /** Ask for huge pages, or not. See {@link madviseHugepage}. */
  madviseHugepage(startPage: number, pages: number, on: boolean): Task<Errno> {
    return madviseHugepage(this, startPage, pages, on);
  }

  /** Let pages go when memory is short. See {@link madviseFree}. */
  madviseFree(startPage: number, pages: number): Task<Errno> {
    return madviseFree(this, startPage, pages);
  }

  /** Expect no use of pages. See {@link madviseCold}. */
  madviseCold(startPage: number, pages: number): Task<Errno> {
    return madviseCold(this, startPage, pages);
  }

  /** Write pages out now. See {@link madvisePageout}. */
  madvisePageout(startPage: number, pages: number): Task<Errno> {
    return madvisePageout(this, startPage, pages);
  }

  /** Make huge pages now. See {@link madviseCollapse}. */
  madviseCollapse(startPage: number, pages: number): Task<Errno> {
    return madviseCollapse(this, startPage, pages);
  }

  /** Make accesses fault, or no longer. See {@link madviseGuardInstall}. */
  madviseGuard(startPage: number, pages: number, on: boolean): Task<Errno> {
    return on ? madviseGuardInstall(this, startPage, pages) : madviseGuardRemove(this, startPage, pages);
  }

  /** Keep pages in memory, or no longer. See {@link mlock}. */
  mlock(startPage: number, pages: number, on: boolean = true): Task<Errno> {
    return mlock(this, startPage, pages, on);
  }

  /** Content tag that a CPU load sees, -1 when it would fault. Does not sleep. */
  tryReadTag(page: number): number {
    const node = this.pageTable.nodeOf(page);
    if (node === null) return -1;
    const slot = page & 511;
    const bits = node.huge === 0 ? node.bits[slot]! : node.huge;
    const kind = bits & PTE_KIND;
    if ((bits & PTE_PROTNONE) !== 0 || (kind !== PTE_PRESENT && kind !== PTE_ZERO)) return -1;
    return this.folios.readTag(node.huge === 0 ? node.pfn[slot]! : node.hugePfn + slot);
  }

  /** Store by the CPU; false when it would fault. Does not sleep. */
  tryWriteTag(page: number, tag: number): boolean {
    const node = this.pageTable.nodeOf(page);
    if (node === null) return false;
    const slot = page & 511;
    const bits = node.huge === 0 ? node.bits[slot]! : node.huge;
    if ((bits & (PTE_KIND | PTE_WRITE | PTE_PROTNONE)) !== (PTE_PRESENT | PTE_WRITE)) return false;
    // The processor sets the dirty bit, which MADV_FREE has cleared.
    if (node.huge === 0) node.bits[slot] = bits | PTE_DIRTY;
    else node.huge = bits | PTE_DIRTY;
    this.folios.writeTag(node.huge === 0 ? node.pfn[slot]! : node.hugePfn + slot, tag);
    return true;
  }

  /** CPU load with faults. See {@link cpuRead}. */
  cpuRead(page: number): Task<number> {
    return cpuRead(this, page);
  }

  /** CPU store with faults. See {@link cpuWrite}. */
  cpuWrite(page: number, tag: number): Task<Errno> {
    return cpuWrite(this, page, tag);
  }

  /** Place claimed pages. See {@link installRun}. */
  installRun(startPage: number, pfn: Pfn, pages: number, order: number, o: InstallOptions = {}): void {
    installRun(this, startPage, pfn, pages, order, o);
  }

  /** Place a whole claimed folio with its head at `page`. See {@link installRun}. */
  installFolio(page: number, headPfn: Pfn, order: number, o: InstallOptions = {}): void {
    installRun(this, page, headPfn, 2 ** order, order, o);
  }

  /** Kind of the entry that covers `page`. */
  entryKind(page: number): EntryKind {
    return ENTRY_KINDS[this.entryBits(page) & PTE_KIND]!;
  }

  /** @internal bits of the entry that covers `page`, see pte.ts. */
  entryBits(page: number): number {
    const node = this.pageTable.nodeOf(page);
    if (node === null) return 0;
    return node.huge === 0 ? node.bits[page & 511]! : node.huge;
  }

  /** Whether the entry that covers `page` lets the CPU write, now or once the page is back. */
  isWritable(page: number): boolean {
    return (this.entryBits(page) & PTE_WRITE) !== 0;
  }

  /** Whether `page` is covered by a PMD leaf. */
  isPmdMapped(page: number): boolean {
    const node = this.pageTable.nodeOf(page);
    return node !== null && node.huge !== 0;
  }

  /** Page that the entry names, -1 when it names none. */
  pfnAt(page: number): Pfn {
    const node = this.pageTable.nodeOf(page);
    if (node === null) return -1;
    const slot = page & 511;
    if (node.huge !== 0) return node.hugePfn + slot;
    return (node.bits[slot]! & PTE_KIND) === 0 ? -1 : node.pfn[slot]!;
  }

  /** Pages by kind of entry. Cost: what is populated. */
  entryCounts(): EntryCounts {
    return countEntries(this.pageTable);
  }

  /** Pages of RAM that the CPU maps, zero pages aside. Cost: what is populated. */
  get residentPages(): number {
    return this.entryCounts().present;
  }

  /** Device-private pages. Cost: what is populated. */
  get devicePages(): number {
    return this.entryCounts().device;
  }
}
