import { SystemPages } from '@gpusvm/drm-pagemap';
import type { Mm, MmuNotifierRange } from '@gpusvm/hmm';
import {
  type FaultSite,
  HPAGE_PMD_NR,
  IntervalTree,
  type LiveItem,
  type Machine,
  RwSem,
  type Task,
} from '@gpusvm/kernel';
import { gpusvmCounters } from './counters.ts';
import type { DrmGpusvmNotifier } from './notifier.ts';
import type { DrmGpusvmPages } from './pages.ts';
import type { DrmGpusvmRange } from './range.ts';
import { PfnPool } from './scratch.ts';
import { type GpusvmTrace, gpusvmTrace } from './tracepoints.ts';

/** What a driver supplies (struct drm_gpusvm_ops). */
export interface DrmGpusvmOps {
  /** Make the driver's kind of range; null where it has no memory. Must not sleep. Default: a plain range. */
  rangeAlloc?(gpusvm: DrmGpusvm): DrmGpusvmRange | null;
  /** The last reference of a range was put. Must not sleep. */
  rangeFree?(range: DrmGpusvmRange): void;
  /**
   * Stop all device use of `range` inside the notifier's window and call `drmGpusvmUnmapPages` with `inNotifier` for
   * every range in it, whatever the event: the MM takes the pages back when this returns. The notifier lock is held
   * for writing; may sleep, but allocates nothing and takes neither the mmap lock nor the driver lock.
   */
  invalidate(gpusvm: DrmGpusvm, notifier: DrmGpusvmNotifier, range: MmuNotifierRange): Task<void>;
}

/**
 * How a mirror is made. Simple mode, in which only the functions on pages may be used: `mm` and `ops` null,
 * everything else zero or empty.
 */
export interface DrmGpusvmOptions {
  readonly name: string;
  readonly mm: Mm | null;
  readonly startPage: number;
  readonly pages: number;
  /** Window of one notifier, in pages: a power of two, at least the largest chunk. 512 MiB = 131072 is recommended. */
  readonly notifierPages: number;
  readonly ops: DrmGpusvmOps | null;
  /** Sizes of ranges in pages: powers of two, descending, the last one 1. Xe: [512, 16, 1]. */
  readonly chunkPages: readonly number[];
}

/**
 * A process address space as seen by a GPU (struct drm_gpusvm). Made by {@link drmGpusvmInit}.
 *
 * Locks: the tree of notifiers belongs to the driver lock; the trees of ranges are changed under the driver lock and
 * the notifier lock, and walked under either; what a pages object says belongs to the notifier lock. Nothing under
 * the notifier lock allocates with reclaim, takes the mmap lock, or removes a notifier.
 */
export class DrmGpusvm {
  readonly machine: Machine;
  readonly name: string;
  readonly mm: Mm | null;
  readonly startPage: number;
  /** Exclusive. */
  readonly endPage: number;
  readonly notifierPages: number;
  readonly ops: DrmGpusvmOps | null;
  readonly chunkPages: readonly number[];
  readonly notifierLock: RwSem;
  /** @internal */
  readonly notifiers: IntervalTree<DrmGpusvmNotifier> = new IntervalTree<DrmGpusvmNotifier>(
    (notifier) => notifier.startPage,
    (notifier) => notifier.lastPage,
  );
  /** @internal ranges with references. */
  readonly liveRanges: Set<DrmGpusvmRange> = new Set();
  /** @internal registered notifiers. */
  readonly liveNotifiers: Set<DrmGpusvmNotifier> = new Set();
  /** @internal pages objects with a mapping. */
  readonly mappedPages: Set<DrmGpusvmPages> = new Set();
  /** @internal */
  readonly pfnPool: PfnPool;
  /** @internal values of counter group `gpusvm`. */
  readonly counters: Float64Array;
  /** @internal */
  readonly trace: GpusvmTrace;
  /** @internal */
  readonly sites: { readonly addrs: FaultSite; readonly range: FaultSite; readonly notifier: FaultSite };
  #driverLock: RwSem | null = null;
  #systemPages: SystemPages = new SystemPages(HPAGE_PMD_NR);

  /** @internal use {@link drmGpusvmInit}. */
  constructor(machine: Machine, o: DrmGpusvmOptions) {
    checkOptions(o);
    this.machine = machine;
    this.name = o.name;
    this.mm = o.mm;
    this.startPage = o.startPage;
    this.endPage = o.startPage + o.pages;
    this.notifierPages = o.notifierPages;
    this.ops = o.ops;
    this.chunkPages = [...o.chunkPages];
    this.notifierLock = new RwSem(machine, `notifier lock of ${o.name}`);
    this.counters = gpusvmCounters(machine).values;
    this.trace = gpusvmTrace(machine.trace);
    const { faultInjection } = machine;
    this.pfnPool = new PfnPool(faultInjection.site('gpusvm.alloc_pfns'));
    this.sites = {
      addrs: faultInjection.site('gpusvm.alloc_addrs'),
      range: faultInjection.site('gpusvm.range'),
      notifier: faultInjection.site('gpusvm.notifier'),
    };
    machine.ledger.register(() => this.#live());
  }

  /** The lock under which the driver finds and removes ranges (drm_gpusvm_driver_set_lock); set once. */
  driverSetLock(lock: RwSem): void {
    if (this.#driverLock !== null)
      throw new Error(`${this.name} has a driver lock already: ${this.#driverLock.label}`);
    this.#driverLock = lock;
  }

  /** @internal lockdep: the driver lock, if the driver named one, is held for writing (as 7.3 demands). */
  assertDriverLock(): void {
    this.#driverLock?.assertHeldWrite();
  }

  /** @internal Whoever holds the notifier lock may fill these; nothing sleeps until the next user comes. */
  systemPages(): SystemPages {
    this.#systemPages.reset();
    return this.#systemPages;
  }

  /** @internal Make room for `npages` system pages; not under the notifier lock, where nothing is allocated. */
  reserveSystemPages(npages: number): void {
    if (this.#systemPages.slot.length < npages) this.#systemPages = new SystemPages(npages);
  }

  /** @internal The mm of a mirror in full mode. */
  requireMm(): Mm {
    if (this.mm === null) throw new TypeError(`${this.name} is in simple mode: it has pages, but no ranges`);
    return this.mm;
  }

  #live(): readonly LiveItem[] {
    const spans = (items: Iterable<{ readonly startPage: number; readonly endPage: number }>): string =>
      [...items]
        .slice(0, 4)
        .map(({ startPage, endPage }) => `[${startPage}, ${endPage})`)
        .join(' ');
    const device = [...this.mappedPages][0]?.dev?.name ?? '';
    return [
      {
        kind: 'gpusvm notifier',
        count: this.liveNotifiers.size,
        detail: `${this.name} ${spans(this.liveNotifiers)}`,
      },
      { kind: 'gpusvm range', count: this.liveRanges.size, detail: `${this.name} ${spans(this.liveRanges)}` },
      { kind: 'gpusvm pages mapping', count: this.mappedPages.size, detail: `${this.name} on ${device}` },
      { kind: 'gpusvm pfn array', count: this.pfnPool.inUse, detail: this.name },
    ];
  }
}

function checkOptions(o: DrmGpusvmOptions): void {
  const { mm, ops, chunkPages, pages, notifierPages, startPage } = o;
  if (mm === null) {
    if (ops === null && chunkPages.length === 0 && pages === 0 && notifierPages === 0) return;
    throw new RangeError(`${o.name}: without an mm, ops are null and sizes 0`);
  }
  if (ops === null) throw new RangeError(`${o.name}: a mirror needs ops.invalidate`);
  const powers = chunkPages.every((size, i) => isPowerOfTwo(size) && (i === 0 || size < chunkPages[i - 1]!));
  if (!powers || chunkPages.at(-1) !== 1) {
    throw new RangeError(
      `chunk sizes are descending powers of two that end in 1, got [${chunkPages.join(', ')}]`,
    );
  }
  if (!isPowerOfTwo(notifierPages) || notifierPages < chunkPages[0]!) {
    throw new RangeError(`a notifier covers a power of two of pages, at least a chunk, got ${notifierPages}`);
  }
  if (!(Number.isSafeInteger(startPage) && startPage >= 0 && Number.isSafeInteger(pages) && pages > 0)) {
    throw new RangeError(`not a span of pages: ${startPage} + ${pages}`);
  }
}

function isPowerOfTwo(n: number): boolean {
  return Number.isInteger(Math.log2(n)) && n >= 1;
}

/**
 * Begin to mirror an address space (drm_gpusvm_init, drivers/gpu/drm/drm_gpusvm.c, 7.3). Keeps the mm's structure
 * (mmgrab), not its contents. Does not sleep.
 *
 * @throws RangeError where the kernel returns -EINVAL: options that fit neither mode.
 */
export function drmGpusvmInit(machine: Machine, o: DrmGpusvmOptions): DrmGpusvm {
  const gpusvm = new DrmGpusvm(machine, o);
  gpusvm.mm?.mmgrab();
  return gpusvm;
}
