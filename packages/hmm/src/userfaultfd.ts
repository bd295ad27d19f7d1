import { EEXIST, EFAULT, EINVAL, ENOENT, ENOMEM, type Errno, type Task, WaitQueue } from '@gpusvm/kernel';
import { FOLIO_ANON } from './folio-flags.ts';
import { mapPage } from './map-entry.ts';
import { prepareAnonVma } from './anon-vma.ts';
import { isUserRange, mergeVma } from './mmap.ts';
import type { Mm } from './mm.ts';
import {
  MARKER_POISON,
  MARKER_UFFD_WP,
  PTE_ANON_EXCLUSIVE,
  PTE_DIRTY,
  PTE_MARKER,
  PTE_PRESENT,
  PTE_WRITE,
} from './pte.ts';
import { VM_FAULT_RETRY, VM_FAULT_SIGBUS } from './vm-fault.ts';
import { cutVma } from './split-pmd.ts';
import type { Vma } from './vma.ts';

/**
 * Page faults handled by the process itself (userfaultfd, fs/userfaultfd.c and mm/userfaultfd.c), in missing mode: a
 * fault on an empty page of a registered range waits until the handler fills it. A fault that may not drop the mmap
 * lock, as those of `hmmRangeFault`, fails instead; holes of such a range do not migrate.
 */
export class Userfaultfd {
  readonly mm: Mm;
  /** Faulting pages that nobody has read yet. */
  readonly #pending: number[] = [];
  #closed = false;
  readonly #readers: WaitQueue;
  /** Who waits for a page. */
  readonly #faulters = new Map<number, WaitQueue>();

  constructor(mm: Mm) {
    this.mm = mm;
    this.#readers = new WaitQueue(mm.machine.scheduler, `userfaultfd of ${mm.name}`);
  }

  /** Watch a range, or no longer (UFFDIO_REGISTER, UFFDIO_UNREGISTER). Takes the mmap lock; may sleep. */
  *register(startPage: number, pages: number, on: boolean = true): Task<Errno> {
    if (!isUserRange(startPage, pages)) return -EINVAL;
    yield* this.mm.mmapLock.downWrite();
    const endPage = startPage + pages;
    const vmas = this.mm.vmas.overlapping(startPage, endPage);
    const fit = vmas.length > 0 && vmas.every((vma) => vma.anonymous);
    if (fit) {
      yield* cutVma(this.mm, startPage);
      yield* cutVma(this.mm, endPage);
      for (const vma of this.mm.vmas.overlapping(startPage, endPage)) {
        // Merged with the one before it, as it was watched already.
        if (this.mm.vmas.lookup(vma.startPage) !== vma) continue;
        vma.uffd = on ? this : null;
        mergeVma(this.mm, vma);
      }
    }
    this.mm.mmapLock.upWrite();
    for (const page of this.#faulters.keys()) this.#wake(page);
    return fit ? 0 : -EINVAL;
  }

  /** Wait for a fault (read of the file). Sleeps until there is one. Returns its page, -1 once the file is closed. */
  *read(): Task<number> {
    yield* this.#readers.waitUntil(() => this.#pending.length > 0 || this.#closed);
    return this.#pending.shift() ?? -1;
  }

  /** close(2): nobody is watched any more; readers and faulters go on. Does not sleep. */
  close(): void {
    this.#closed = true;
    for (const vma of this.mm.vmas.all()) if (vma.uffd === this) vma.uffd = null;
    this.#readers.wakeAll();
    for (const page of this.#faulters.keys()) this.#wake(page);
  }

  /**
   * Fill an empty page (UFFDIO_COPY) and wake the faulters. May sleep.
   *
   * @returns 0; -ENOENT outside of a watched range; -EEXIST where something is; -ENOMEM.
   */
  *copy(page: number, tag: number): Task<Errno> {
    return yield* this.#fill(page, (vma) => {
      const { folios } = this.mm;
      const pfn = folios.allocFolio(0);
      if (pfn < 0) return -ENOMEM;
      folios.writeTag(pfn, tag);
      folios.flags[pfn]! |= FOLIO_ANON;
      const bits = PTE_PRESENT | PTE_DIRTY | PTE_ANON_EXCLUSIVE | (vma.write ? PTE_WRITE : 0);
      mapPage(this.mm, this.mm.pageTable.makeTable(Math.floor(page / 512)), page & 511, pfn, bits);
      folios.put(pfn);
      prepareAnonVma(this.mm, vma);
      return 0;
    });
  }

  /** Make accesses of an empty page fail with SIGBUS (UFFDIO_POISON). Errors as {@link copy}. */
  poison(page: number): Task<Errno> {
    return this.#fill(page, (vma) => {
      prepareAnonVma(this.mm, vma);
      return this.#mark(page, MARKER_POISON);
    });
  }

  /** Write-protect an empty page (UFFDIO_WRITEPROTECT with WP_UNPOPULATED). Errors as {@link copy}. */
  writeProtect(page: number): Task<Errno> {
    return this.#fill(page, () => this.#mark(page, MARKER_UFFD_WP));
  }

  #mark(page: number, marker: number): Errno {
    const node = this.mm.pageTable.makeTable(Math.floor(page / 512));
    node.bits[page & 511] = PTE_MARKER;
    node.pfn[page & 511] = marker;
    node.used++;
    return 0;
  }

  *#fill(page: number, body: (vma: Vma) => Errno): Task<Errno> {
    yield* this.mm.mmapLock.downRead();
    const vma = this.mm.vmas.lookup(page);
    let err: Errno = -ENOENT;
    if (vma?.uffd === this) {
      err = this.mm.entryBits(page) !== 0 || this.mm.isPmdMapped(page) ? -EEXIST : body(vma);
      if (this.mm.unstable) err = -EFAULT;
    }
    this.mm.mmapLock.upRead();
    if (err === 0 || err === -EEXIST) this.#wake(page);
    return err;
  }

  #wake(page: number): void {
    const queue = this.#faulters.get(page);
    this.#faulters.delete(page);
    queue?.wakeAll();
  }

  /** @internal report a fault and sleep until the page is filled or no longer watched. */
  *wait(page: number): Task<void> {
    let queue = this.#faulters.get(page);
    if (queue === undefined) {
      queue = new WaitQueue(this.mm.machine.scheduler, `userfault at page ${page} of ${this.mm.name}`);
      this.#faulters.set(page, queue);
      this.#pending.push(page);
      this.#readers.wakeAll();
    }
    yield* queue.wait();
  }
}

/** @internal handle_userfault: drops the mmap lock and waits, or fails where it may not. */
export function* handleUserfault(mm: Mm, uffd: Userfaultfd, page: number, mayDrop: boolean): Task<number> {
  if (!mayDrop) return VM_FAULT_SIGBUS;
  mm.mmapLock.upRead();
  yield* uffd.wait(page);
  return VM_FAULT_RETRY;
}
