import { EINVAL, ENOENT, EPERM, type Errno, Mutex, type Pfn, type Task } from '@gpusvm/kernel';
import type { FolioTable } from '../folio-table.ts';
import type { Mm } from '../mm.ts';
import {
  MmuIntervalNotifier,
  mmuIntervalNotifierInsert,
  mmuIntervalNotifierRemove,
  mmuIntervalSetSeq,
} from '../mmu-interval-notifier.ts';
import type { MmuNotifierRange } from '../mmu-notifier-range.ts';
import type { DmirrorDevice } from './dmirror-device.ts';
import { mirrorExclusive } from './mirror-exclusive.ts';
import { mirrorFault } from './mirror-fault.ts';
import { MirrorTable } from './mirror-table.ts';
import { migrateToDevice, migrateToSystem } from './mirror-migrate.ts';
import { snapshot } from './snapshot.ts';

const EVERYTHING = 2 ** 52 - 1;

/** What a command copies out (struct hmm_dmirror_cmd): set by a command that succeeds, as it was otherwise. */
export interface DmirrorCounts {
  /** Pages copied. */
  cpages: number;
  /** Fault rounds. */
  faults: number;
}

/**
 * An open /dev/hmm_dmirrorN: the device's mirror of the address space of the process that opened it (struct dmirror,
 * lib/test_hmm.c). Methods are the commands; they take pages and content tags where the module takes addresses and
 * buffers, and return 0 or an errno. All may sleep.
 *
 * The module is mirrored with its quirks: an invalidation clears one page too many (finding F4), migrations and faults
 * have no common lock (B2), TO_DEV reports -ENOENT when any page of the request is not in the table. One is left out:
 * a fault that finds a page of the own device would make the module dereference its dummy page (F2); here it maps the
 * device page and is counted in {@link dummyFaults}.
 */
export class Dmirror {
  readonly device: DmirrorDevice;
  readonly mm: Mm;
  readonly folios: FolioTable;
  readonly table: MirrorTable = new MirrorTable();
  readonly mutex: Mutex;
  readonly sub: MmuIntervalNotifier = new MmuIntervalNotifier();
  readonly counts: DmirrorCounts = { cpages: 0, faults: 0 };
  /** Faults that would have crashed the module (F2). */
  dummyFaults = 0;
  /** Missing single pages in the fallback of a large allocation, which the module does not check (F7). */
  nullPages = 0;

  constructor(device: DmirrorDevice, mm: Mm) {
    this.device = device;
    this.mm = mm;
    this.folios = mm.folios;
    this.mutex = new Mutex(mm.machine, `mutex of ${device.name} in ${mm.name}`);
  }

  /** open(2). Errors of `mmuIntervalNotifierInsert`. */
  open(): Task<Errno> {
    return mmuIntervalNotifierInsert(this.sub, this.mm, 0, EVERYTHING, {
      invalidate: (sub, range, seq) => this.#invalidate(sub, range, seq),
    });
  }

  /** close(2): evicts every page of the device, whoever brought it there. */
  *close(): Task<void> {
    yield* mmuIntervalNotifierRemove(this.sub);
    yield* this.device.evict();
    this.table.clear();
  }

  *#invalidate(sub: MmuIntervalNotifier, range: MmuNotifierRange, seq: number): Task<boolean> {
    // The migration itself takes care of device mappings.
    if (range.event === 'MIGRATE' && range.owner === this.device) return true;
    if (range.blockable) yield* this.mutex.lock();
    else if (!this.mutex.tryLock()) return false;
    mmuIntervalSetSeq(sub, seq);
    // The last index is inclusive in the module (finding F4).
    this.table.clear(range.startPage, range.endPage + 1);
    this.mutex.unlock();
    return true;
  }

  /** Forget pages that leave the device. */
  forget(page: number, pages: number): void {
    this.table.clear(page, page + pages);
  }

  /** HMM_DMIRROR_READ. Tags of the pages, or -EFAULT, -EBUSY, -EINVAL. */
  read(page: number, pages: number): Task<number[] | Errno> {
    return this.#read(page, pages, false);
  }

  /** HMM_DMIRROR_READ_UNLOCKED: reads through `hmmRangeFaultUnlockedTimeout`. */
  readUnlocked(page: number, pages: number): Task<number[] | Errno> {
    return this.#read(page, pages, true);
  }

  /** HMM_DMIRROR_WRITE: page i gets `tags[i]`. 0, -EFAULT, -EPERM, -EBUSY, -EINVAL. */
  *write(page: number, tags: readonly number[]): Task<Errno> {
    const done = yield* this.#access(page, tags.length, true, false, (i, pfn) => this.#store(pfn, tags[i]!));
    return done;
  }

  *#read(page: number, pages: number, unlocked: boolean): Task<number[] | Errno> {
    const tags: number[] = [];
    const err = yield* this.#access(page, pages, false, unlocked, (_, pfn) => tags.push(this.#load(pfn)));
    return err === 0 ? tags : err;
  }

  /** dmirror_read, dmirror_write: copy what the table has, fault the whole rest, and so on. */
  *#access(
    page: number,
    pages: number,
    write: boolean,
    unlocked: boolean,
    copy: (i: number, pfn: Pfn) => void,
  ): Task<Errno> {
    if (!(pages > 0)) return -EINVAL;
    let done = 0;
    let faults = 0;
    for (;;) {
      yield* this.mutex.lock();
      for (; done < pages && this.table.allows(page + done, write); done++)
        copy(done, this.table.pfn(page + done));
      this.mutex.unlock();
      if (done === pages) break;
      const err = yield* mirrorFault(this, page + done, page + pages, write, unlocked);
      if (err !== 0) return err;
      faults++;
    }
    this.counts.cpages = pages;
    this.counts.faults = faults;
    return 0;
  }

  #load(pfn: Pfn): number {
    return this.device.owns(pfn) ? this.device.load(pfn) : this.folios.readTag(pfn);
  }

  #store(pfn: Pfn, tag: number): void {
    if (this.device.owns(pfn)) this.device.store(pfn, tag);
    else this.folios.writeTag(pfn, tag);
  }

  /** HMM_DMIRROR_MIGRATE_TO_DEV. 0; -EINVAL; -ENOENT when a page is not in the table afterwards. */
  *toDev(page: number, pages: number): Task<Errno> {
    if (!(pages > 0)) return -EINVAL;
    const err = yield* migrateToDevice(this, page, pages);
    if (err !== 0) return err;
    return yield* this.#verify(page, pages);
  }

  /** HMM_DMIRROR_MIGRATE_TO_SYS. 0; -EINVAL; -ENOMEM. `cpages`: slots that moved, a whole THP counts one. */
  *toSys(page: number, pages: number): Task<Errno> {
    if (!(pages > 0)) return -EINVAL;
    const { err, moved } = yield* migrateToSystem(this, page, pages);
    if (err === 0) {
      this.counts.cpages = moved;
      this.counts.faults = 0;
    }
    return err;
  }

  /** HMM_DMIRROR_SNAPSHOT: one byte a page, see `snapshotWord`. 0 length is -EINVAL. */
  *snapshot(page: number, pages: number): Task<number[] | Errno> {
    if (!(pages > 0)) return -EINVAL;
    const bytes = yield* snapshot(this, page, pages);
    if (typeof bytes === 'number') return bytes;
    this.counts.cpages = pages;
    this.counts.faults = 0;
    return bytes;
  }

  /** HMM_DMIRROR_EXCLUSIVE. 0; -EBUSY; errors of `makeDeviceExclusive`; -ENOENT as {@link toDev}. */
  *exclusive(page: number, pages: number): Task<Errno> {
    if (!(pages > 0)) return -EINVAL;
    const err = yield* mirrorExclusive(this, page, pages);
    return err !== 0 ? err : yield* this.#verify(page, pages);
  }

  /** HMM_DMIRROR_CHECK_EXCLUSIVE: -EPERM while a page of the range is exclusive. */
  *checkExclusive(page: number, pages: number): Task<Errno> {
    yield* this.mutex.lock();
    const atomic = this.table.hasAtomic(page, page + pages);
    this.mutex.unlock();
    return atomic ? -EPERM : 0;
  }

  /** Read the table back, as a command does that has changed it. */
  *#verify(page: number, pages: number): Task<Errno> {
    yield* this.mutex.lock();
    let err: Errno = 0;
    for (let i = 0; i < pages && err === 0; i++) if (!this.table.allows(page + i, false)) err = -ENOENT;
    this.mutex.unlock();
    if (err !== 0) return err;
    this.counts.cpages = pages;
    this.counts.faults = 0;
    return 0;
  }

  /** Mirror entries that the CPU page table does not back: stale device mappings. For tests. */
  stale(): string[] {
    const out: string[] = [];
    for (const { page, pfn, access } of this.table.all()) {
      const writable = access !== 'write' || this.mm.isWritable(page);
      if (this.mm.pfnAt(page) === pfn && writable) continue;
      out.push(`page ${page} -> pfn ${pfn}, but the CPU has ${this.mm.entryKind(page)}`);
    }
    return out;
  }
}
