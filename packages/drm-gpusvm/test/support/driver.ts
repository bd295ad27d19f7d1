import { type MapStrategy, mapStrategy } from '@gpusvm/drm-pagemap';
import type { MmuNotifierRange } from '@gpusvm/hmm';
import { EAGAIN, EFAULT, EOPNOTSUPP, EPERM, type Errno, RwSem, type Task } from '@gpusvm/kernel';
import {
  type DrmGpusvm,
  type DrmGpusvmCtx,
  drmGpusvmFini,
  drmGpusvmForEachNotifier,
  drmGpusvmForEachRange,
  drmGpusvmGetPages,
  drmGpusvmInit,
  type DrmGpusvmNotifier,
  type DrmGpusvmOptions,
  DrmGpusvmPages,
  drmGpusvmPagesValid,
  DrmGpusvmRange,
  drmGpusvmRangeEvict,
  drmGpusvmRangeFindOrInsert,
  drmGpusvmRangeRemove,
  drmGpusvmRangeSetUnmapped,
  drmGpusvmUnmapPages,
} from '../../src/index.ts';
import { CTX, type Host } from './host.ts';

const IN_NOTIFIER: DrmGpusvmCtx = { ...CTX, inNotifier: true };

export class DriverRange extends DrmGpusvmRange {
  readonly pages: DrmGpusvmPages;
  collecting = false;

  constructor(gpusvm: DrmGpusvm, host: Host, strategy: MapStrategy) {
    super(gpusvm);
    this.pages = new DrmGpusvmPages(host.device, strategy);
    this.embeddedPages = this.pages;
  }
}

export interface DriverOptions extends Partial<Omit<DrmGpusvmOptions, 'ops' | 'mm' | 'name'>> {
  /** Reads or writes device memory for addresses of proto 1. */
  readonly deviceTag?: (addrBytes: number) => number;
}

interface GpuEntry {
  readonly addr: number;
  readonly proto: number;
}

/** The smallest correct driver: a lock, a flat GPU page table, a garbage list. */
export class Driver {
  readonly host: Host;
  readonly gpusvm: DrmGpusvm;
  readonly lock: RwSem;
  readonly table: Map<number, GpuEntry> = new Map();
  readonly garbage: DriverRange[] = [];
  readonly freed: DrmGpusvmRange[] = [];
  readonly events: MmuNotifierRange[] = [];
  /** Runs inside the invalidate callback, before anything is undone. */
  onInvalidate: (notifier: DrmGpusvmNotifier) => void = () => undefined;
  readonly #deviceTag: (addrBytes: number) => number;

  constructor(host: Host, o: DriverOptions = {}) {
    this.host = host;
    this.lock = new RwSem(host.machine, 'vm.lock');
    this.#deviceTag = o.deviceTag ?? (() => -1);
    this.gpusvm = drmGpusvmInit(host.machine, {
      name: 'svm',
      mm: host.mm,
      startPage: o.startPage ?? 0,
      pages: o.pages ?? 2 ** 20,
      notifierPages: o.notifierPages ?? 2048,
      chunkPages: o.chunkPages ?? [512, 16, 1],
      ops: {
        rangeAlloc: (gpusvm) => new DriverRange(gpusvm, host, mapStrategy(host.strategyName)),
        rangeFree: (range) => this.freed.push(range),
        invalidate: (_gpusvm, notifier, event) => this.#invalidate(notifier, event),
      },
    });
    this.gpusvm.driverSetLock(this.lock);
  }

  *#invalidate(notifier: DrmGpusvmNotifier, event: MmuNotifierRange): Task<void> {
    this.events.push(event);
    this.onInvalidate(notifier);
    const ranges: DriverRange[] = [];
    drmGpusvmForEachRange(notifier, event.startPage, event.endPage, (range) =>
      ranges.push(range as DriverRange),
    );
    for (const range of ranges) {
      for (let page = range.startPage; page < range.endPage; page++) this.table.delete(page);
      yield* drmGpusvmUnmapPages(this.gpusvm, range.pages, range.endPage - range.startPage, IN_NOTIFIER);
      if (event.event !== 'UNMAP') continue;
      drmGpusvmRangeSetUnmapped(range, range.pages, event);
      if (!range.collecting) this.garbage.push(range);
      range.collecting = true;
    }
  }

  /** Take the lock, as everybody does who is not an invalidation. */
  *locked<T>(task: Task<T>): Task<T> {
    yield* this.lock.downWrite();
    const result = yield* task;
    this.lock.upWrite();
    return result;
  }

  findOrInsert(
    page: number,
    o: Partial<DrmGpusvmCtx> = {},
    from = 0,
    to = 2 ** 20,
  ): Task<DrmGpusvmRange | Errno> {
    return this.locked(drmGpusvmRangeFindOrInsert(this.gpusvm, page, from, to, { ...CTX, ...o }));
  }

  getPages(range: DriverRange, o: Partial<DrmGpusvmCtx> = {}): Task<Errno> {
    const { notifier, startPage, endPage, pages } = range;
    return drmGpusvmGetPages(this.gpusvm, pages, this.host.mm, notifier, startPage, endPage, {
      ...CTX,
      ...o,
    });
  }

  *destroyRange(range: DriverRange): Task<void> {
    for (let page = range.startPage; page < range.endPage; page++) this.table.delete(page);
    yield* drmGpusvmUnmapPages(this.gpusvm, range.pages, range.endPage - range.startPage, CTX);
    yield* drmGpusvmRangeRemove(this.gpusvm, range);
  }

  *collect(): Task<void> {
    while (this.garbage.length > 0) yield* this.destroyRange(this.garbage.shift()!);
  }

  /** Serve a GPU fault, at most `rounds` times. */
  *fault(page: number, o: Partial<DrmGpusvmCtx> = {}, rounds = 50): Task<Errno> {
    return yield* this.locked(this.#faultLocked(page, o, rounds));
  }

  *#faultLocked(page: number, o: Partial<DrmGpusvmCtx>, rounds: number): Task<Errno> {
    let err: Errno = 0;
    for (let round = 0; round < rounds; round++) {
      yield* this.collect();
      const range = yield* drmGpusvmRangeFindOrInsert(this.gpusvm, page, 0, 2 ** 20, { ...CTX, ...o });
      if (typeof range === 'number') return range;
      err = yield* this.getPages(range as DriverRange, o);
      if (err === -EOPNOTSUPP) yield* drmGpusvmRangeEvict(this.gpusvm, range);
      if (err === 0) err = yield* this.#bind(range as DriverRange);
      if (err !== -EOPNOTSUPP && err !== -EFAULT && err !== -EPERM && err !== -EAGAIN) return err;
    }
    return err;
  }

  *#bind(range: DriverRange): Task<Errno> {
    const { notifierLock } = this.gpusvm;
    yield* notifierLock.downRead();
    const valid = drmGpusvmPagesValid(this.gpusvm, range.pages);
    const { addrs } = range.pages;
    let page = range.startPage;
    const count = valid ? addrs.count : 0;
    for (let j = 0; j < count; j++) {
      for (let k = 0; k < 1 << addrs.order[j]!; k++) {
        this.table.set(page++, { addr: addrs.addr[j]! + k * 4096, proto: addrs.proto[j]! });
      }
    }
    notifierLock.upRead();
    return valid ? 0 : -EAGAIN;
  }

  /** What the GPU reads, undefined without an entry. */
  read(page: number): number | undefined {
    const entry = this.table.get(page);
    if (entry === undefined) return undefined;
    return entry.proto === 0 ? this.host.device.readTag(entry.addr) : this.#deviceTag(entry.addr);
  }

  ranges(): DriverRange[] {
    const ranges: DriverRange[] = [];
    drmGpusvmForEachNotifier(this.gpusvm, 0, 2 ** 20, (notifier) =>
      drmGpusvmForEachRange(notifier, 0, 2 ** 20, (range) => ranges.push(range as DriverRange)),
    );
    return ranges;
  }

  *fini(): Task<void> {
    yield* this.lock.downWrite();
    for (const range of this.ranges()) {
      yield* drmGpusvmUnmapPages(this.gpusvm, range.pages, range.endPage - range.startPage, CTX);
    }
    this.table.clear();
    yield* drmGpusvmFini(this.gpusvm);
    this.lock.upWrite();
  }

  /** The mirror, the process and the device go; what is left is a leak. */
  tearDown(): string[] {
    this.host.run(this.fini());
    return this.host.tearDown();
  }
}
