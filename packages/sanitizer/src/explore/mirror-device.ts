import {
  DevPagemap,
  DEVICE_ACCESS_TRACE,
  DEVICE_COPY_TRACE,
  DEVICE_MAP_TRACE,
  DEVICE_UNMAP_TRACE,
  type FolioTable,
  HMM_PFN_REQ_FAULT,
  HMM_PFN_REQ_WRITE,
  HMM_PFN_VALID,
  HMM_PFN_WRITE,
  HmmPfns,
  type HmmRange,
  type Mm,
  MmuIntervalNotifier,
  mmuIntervalNotifierInsert,
  mmuIntervalNotifierRemove,
  type MmuNotifierRange,
  zoneDevicePageInit,
} from '@gpusvm/hmm';
import {
  EBUSY,
  EFAULT,
  EPERM,
  type Errno,
  Mutex,
  type Pfn,
  schedPoint,
  type Suspension,
  type Task,
  WaitQueue,
} from '@gpusvm/kernel';
import { migrateToRam } from './mirror-migrate.ts';
import { type MirrorOps, mirrorOps } from './mirror-ops.ts';

const FAULT = schedPoint('mirror: fault');
const COMMIT = schedPoint('mirror: write device entries');
const ACCESS: Suspension = Object.freeze({ kind: 'sleep', ns: 100 });
const COPY: Suspension = Object.freeze({ kind: 'sleep', ns: 200 });
const MOST_TRIES = 20;

/** How a {@link MirrorDevice} is made. */
export interface MirrorDeviceOptions {
  readonly name: string;
  /** Pages of device memory. */
  readonly pages: number;
}

interface DeviceEntry {
  readonly pfn: Pfn;
  readonly write: boolean;
}

/**
 * A small device that mirrors a part of an address space, as lib/test_hmm.c does, with the locking of a real driver:
 * `svmLock` serialises faults and migrations of the driver and is outermost, `userLock` is the lock that callbacks
 * take. It tells the tracepoints of device-tracepoints.ts what it does, and every step that a protocol is about goes
 * through `ops`, so that a bug is one step replaced.
 */
export class MirrorDevice {
  readonly name: string;
  readonly mm: Mm;
  readonly folios: FolioTable;
  readonly ops: MirrorOps = mirrorOps();
  readonly sub: MmuIntervalNotifier = new MmuIntervalNotifier();
  readonly pagemap: DevPagemap;
  readonly svmLock: Mutex;
  readonly userLock: Mutex;
  /** Contents of device memory, by page of the window. */
  readonly vram: Float64Array;
  /** The device's page table, by virtual page. */
  readonly entries: Map<number, DeviceEntry> = new Map();
  /** What faults and migrations under way have in hand, as text. */
  readonly inHand: Map<object, () => string> = new Map();
  readonly #inFlight = new Set<{ readonly page: number }>();
  readonly #idle: WaitQueue;

  constructor(mm: Mm, options: MirrorDeviceOptions) {
    const { machine } = mm;
    this.name = options.name;
    this.mm = mm;
    this.folios = mm.folios;
    this.svmLock = new Mutex(machine, `svm_lock of ${options.name}`);
    this.userLock = new Mutex(machine, `user_lock of ${options.name}`);
    this.#idle = new WaitQueue(machine.scheduler, `accesses of ${options.name}`);
    this.vram = new Float64Array(options.pages);
    this.pagemap = new DevPagemap(mm.folios, {
      type: 'private',
      owner: this,
      pages: options.pages,
      tellsCopies: true,
      ops: { migrateToRam: (vmf) => migrateToRam(this, vmf), folioFree: () => {} },
    });
  }

  /** Mirror `[startPage, startPage + pages)`. */
  *open(startPage: number, pages: number): Task<Errno> {
    const invalidate = this.#invalidate.bind(this);
    return yield* mmuIntervalNotifierInsert(this.sub, this.mm, startPage, pages, { invalidate });
  }

  /** Stop mirroring: no callback comes any more, and then the device maps nothing. */
  *close(): Task<void> {
    yield* mmuIntervalNotifierRemove(this.sub);
    this.zapEntries(0, Number.MAX_SAFE_INTEGER);
  }

  /** Digest of the device's state for a search. */
  digest(): string {
    const entries = [...this.entries]
      .map(([page, { pfn, write }]) => `${page}:${pfn}${write ? 'w' : ''}`)
      .sort();
    const flights = [...this.#inFlight].map((access) => access.page);
    const hands = [...this.inHand.values()].map((text) => text()).sort();
    return `${this.name} ${entries.join(' ')} (${flights.join()}) ${this.vram.join()} ${hands.join('+')}`;
  }

  /**
   * Access a page as the device does, faulting as needed; may sleep.
   *
   * @param tag - what to write, or null to read.
   * @returns the content tag read or written; a negative errno when the page cannot be had.
   */
  *access(page: number, tag: number | null): Task<number> {
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const entry = this.entries.get(page);
      if (entry === undefined || (tag !== null && !entry.write)) {
        const err = yield* this.fault(page, page + 1, tag !== null);
        if (err !== 0) return err;
        continue;
      }
      return yield* this.#transfer(page, entry, tag);
    }
    return -EBUSY;
  }

  /**
   * Fault pages into the device's page table (the caller protocol of hmm_range_fault); may sleep.
   *
   * @returns 0; -EBUSY after too many retries; -EFAULT, -EPERM or -ENOMEM of the lookup; -EPERM when a page turns out
   * to be read-only.
   */
  *fault(startPage: number, endPage: number, write: boolean): Task<Errno> {
    const { mm, ops } = this;
    if (!mm.mmgetNotZero()) return -EFAULT;
    const key = {};
    yield* ops.exclude(this);
    try {
      for (let tries = 0; tries < MOST_TRIES; tries++) {
        if (mm.machine.scheduler.preemptive) yield FAULT;
        const range = this.#range(startPage, endPage, write, yield* ops.readBegin(this));
        this.inHand.set(
          key,
          () => `${range.notifierSeq},${range.pfns.pfn.join()},${range.pfns.flags.join()}`,
        );
        const err = yield* ops.walk(this, range);
        if (err === -EBUSY) continue;
        if (err !== 0) return err;
        if (mm.machine.scheduler.preemptive) yield COMMIT;
        yield* this.userLock.lock();
        try {
          if (!ops.isStale(this, range)) return this.#write(range, write);
        } finally {
          this.userLock.unlock();
        }
      }
      return -EBUSY;
    } finally {
      this.inHand.delete(key);
      ops.include(this);
      mm.mmput();
    }
  }

  /** Whether a lookup said that the CPU may write. */
  isWritable(range: HmmRange, slot: number): boolean {
    return (range.pfns.flags[slot]! & HMM_PFN_WRITE) !== 0;
  }

  /** Take entries out of the device's page table. Does not sleep. */
  zapEntries(startPage: number, endPage: number): void {
    for (const page of this.entries.keys())
      if (page >= startPage && page < endPage) this.entries.delete(page);
    const point = this.mm.machine.trace.point(DEVICE_UNMAP_TRACE);
    if (point.enabled) point.emit({ device: this.name, startPage, endPage });
  }

  /** Wait until no access is under way in the range. */
  waitIdle(startPage: number, endPage: number): Task<void> {
    return this.#idle.waitUntil(() => !this.isBusy(startPage, endPage));
  }

  /** Whether an access is under way in the range. */
  isBusy(startPage: number, endPage: number): boolean {
    this.#idle.noteRead();
    return [...this.#inFlight].some(({ page }) => page >= startPage && page < endPage);
  }

  /** A free page of device memory as a locked folio with one reference; -1 when there is none. */
  allocPage(): Pfn {
    const { folios, pagemap } = this;
    for (let pfn = pagemap.basePfn; pfn < pagemap.basePfn + pagemap.pages; pfn++) {
      if (folios.refcount(pfn) !== 0) continue;
      zoneDevicePageInit(folios, pfn, pagemap, 0, this);
      return pfn;
    }
    return -1;
  }

  /** Copy a page between memories with the device's copy engine, or clear it if `from` is -1. Waits for the engine. */
  *copyPage(from: Pfn, to: Pfn): Task<void> {
    this.traceCopy('start', from, to);
    yield COPY;
    this.writeTag(to, from < 0 ? 0 : this.readTag(from));
    this.traceCopy('done', from, to);
  }

  /** Content of a page of RAM or of this device. */
  readTag(pfn: Pfn): number {
    if (this.pagemap.contains(pfn)) return this.vram[pfn - this.pagemap.basePfn]!;
    return this.folios.memory.readTag(pfn);
  }

  /** Change the content of a page of RAM or of this device. */
  writeTag(pfn: Pfn, tag: number): void {
    if (this.pagemap.contains(pfn)) this.vram[pfn - this.pagemap.basePfn] = tag;
    else this.folios.memory.writeTag(pfn, tag);
  }

  /** Tell who listens about a copy. */
  traceCopy(phase: 'start' | 'done', from: Pfn, to: Pfn): void {
    const point = this.mm.machine.trace.point(DEVICE_COPY_TRACE);
    if (point.enabled) point.emit({ phase, device: this.name, from, to, clears: from < 0 });
  }

  /** The access itself: the hardware uses the entry that it found, for as long as it takes. */
  *#transfer(page: number, { pfn }: DeviceEntry, tag: number | null): Task<number> {
    const access = { page };
    const point = this.mm.machine.trace.point(DEVICE_ACCESS_TRACE);
    const about = { device: this.name, access, page, pfn, write: tag !== null };
    this.#inFlight.add(access);
    if (point.enabled) point.emit({ phase: 'begin', ...about });
    yield ACCESS;
    const seen = tag ?? this.readTag(pfn);
    if (tag !== null) this.writeTag(pfn, tag);
    if (point.enabled) point.emit({ phase: 'end', ...about });
    this.#inFlight.delete(access);
    this.#idle.wakeAll();
    return seen;
  }

  #range(startPage: number, endPage: number, write: boolean, notifierSeq: number): HmmRange {
    return {
      notifier: this.sub,
      notifierSeq,
      startPage,
      endPage,
      pfns: new HmmPfns(endPage - startPage),
      defaultFlags: HMM_PFN_REQ_FAULT | (write ? HMM_PFN_REQ_WRITE : 0),
      pfnFlagsMask: 0,
      devPrivateOwner: this,
    };
  }

  /** Write the entries of a fresh lookup, under the user lock. */
  #write(range: HmmRange, write: boolean): Errno {
    const point = this.mm.machine.trace.point(DEVICE_MAP_TRACE);
    const { startPage, endPage, notifier: sub, notifierSeq: seq, pfns } = range;
    for (let slot = 0; slot < endPage - startPage; slot++) {
      if ((pfns.flags[slot]! & HMM_PFN_VALID) === 0) return -EFAULT;
      const writable = this.ops.mayWrite(this, range, slot);
      if (write && !writable) return -EPERM;
      const pfn = pfns.pfn[slot]!;
      const page = startPage + slot;
      this.entries.set(page, { pfn, write: writable });
      const cpuWrite = this.isWritable(range, slot);
      if (!point.enabled) continue;
      const about = { device: this.name, sub, seq, page, pfn };
      point.emit({ ...about, write: writable, cpuWrite, check: 'read-retry' });
    }
    return 0;
  }

  *#invalidate(_sub: MmuIntervalNotifier, range: MmuNotifierRange, curSeq: number): Task<boolean> {
    const { ops, userLock } = this;
    const { startPage, endPage, blockable } = range;
    if (ops.isOwn(this, range)) return true;
    if (blockable) yield* userLock.lock();
    else if (!userLock.tryLock()) return false;
    try {
      if (!blockable && this.isBusy(startPage, endPage)) return false;
      ops.setSeq(this, curSeq);
      ops.zap(this, startPage, endPage);
      yield* ops.quiesce(this, startPage, endPage);
      return true;
    } finally {
      userLock.unlock();
    }
  }
}
