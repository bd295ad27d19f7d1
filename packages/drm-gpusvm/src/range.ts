import { Kref, type Task } from '@gpusvm/kernel';
import { RANGE_CREATED, RANGE_REMOVED } from './counters.ts';
import type { DrmGpusvm } from './gpusvm.ts';
import { type DrmGpusvmNotifier, drmGpusvmForEachNotifier, notifierRemove } from './notifier.ts';
import type { DrmGpusvmPages } from './pages.ts';
import { RANGE_UNLINKED } from './sched-points.ts';
import { unmapPagesLocked } from './unmap-pages.ts';

/** What is known about a range; changed as a whole under the notifier lock. */
export interface DrmGpusvmRangeFlags {
  /** The memory may move to the device; fixed when the range is made. */
  migrateDevmem: boolean;
  /** The CPU mapping went away, at least in part. Sticky: the range gets no pages any more. */
  unmapped: boolean;
  /** The event that unmapped it covered only a part. */
  partialUnmap: boolean;
}

/**
 * A naturally aligned piece of the mirror that the GPU maps as a unit (struct drm_gpusvm_range). Drivers extend it
 * and make their kind in `rangeAlloc`.
 */
export class DrmGpusvmRange {
  readonly gpusvm: DrmGpusvm;
  startPage = 0;
  /** Exclusive. */
  endPage = 0;
  readonly flags: DrmGpusvmRangeFlags = { migrateDevmem: false, unmapped: false, partialUnmap: false };
  /** Holder `tree` owns the first reference. */
  readonly kref: Kref;
  /**
   * The pages object that lives and dies with the range (up to 7.2 a part of it). `drmGpusvmRangeRemove` unmaps it in
   * profiles with `rangeRemoveUnmaps`.
   */
  embeddedPages: DrmGpusvmPages | null = null;
  #notifier: DrmGpusvmNotifier | null = null;

  constructor(gpusvm: DrmGpusvm) {
    this.gpusvm = gpusvm;
    this.kref = new Kref(`range of ${gpusvm.name}`, 'tree', () => rangeRelease(this));
  }

  /** The notifier whose window the range lies in. */
  get notifier(): DrmGpusvmNotifier {
    if (this.#notifier === null) throw new Error(`a range of ${this.gpusvm.name} has no place yet`);
    return this.#notifier;
  }

  /** @internal */
  place(notifier: DrmGpusvmNotifier, startPage: number, pages: number): void {
    this.#notifier = notifier;
    this.startPage = startPage;
    this.endPage = startPage + pages;
  }
}

function rangeRelease(range: DrmGpusvmRange): void {
  const { gpusvm, startPage, endPage } = range;
  gpusvm.liveRanges.delete(range);
  const { rangeFree: point } = gpusvm.trace;
  if (point.enabled) point.emit({ gpusvm: gpusvm.name, startPage, endPage });
  gpusvm.ops?.rangeFree?.(range);
}

/** Keep the range (drm_gpusvm_range_get). Does not sleep. */
export function drmGpusvmRangeGet(range: DrmGpusvmRange, holder: string): DrmGpusvmRange {
  range.kref.get(holder);
  return range;
}

/** Let the range go (drm_gpusvm_range_put); the last one calls `rangeFree`. Does not sleep. */
export function drmGpusvmRangePut(range: DrmGpusvmRange, holder: string): void {
  range.kref.put(holder);
}

/**
 * First range of the notifier that overlaps `[startPage, endPage)` (drm_gpusvm_range_find), or null. Driver lock or
 * notifier lock held; no reference is taken. Does not sleep; O(log n).
 */
export function drmGpusvmRangeFind(
  notifier: DrmGpusvmNotifier,
  startPage: number,
  endPage: number,
): DrmGpusvmRange | null {
  return notifier.ranges.first(startPage, endPage - 1) ?? null;
}

/**
 * Call `fn` for every range of the notifier that overlaps `[startPage, endPage)`, in address order
 * (drm_gpusvm_for_each_range_safe). Locks as for {@link drmGpusvmRangeFind}; `fn` may remove the one it is given.
 */
export function drmGpusvmForEachRange(
  notifier: DrmGpusvmNotifier,
  startPage: number,
  endPage: number,
  fn: (range: DrmGpusvmRange) => void,
): void {
  if (startPage < endPage) notifier.ranges.forEachOverlap(startPage, endPage - 1, fn);
}

/**
 * Whether any range overlaps `[startPage, endPage)` (drm_gpusvm_has_mapping). Only the driver lock makes the answer
 * stable. Does not sleep.
 */
export function drmGpusvmHasMapping(gpusvm: DrmGpusvm, startPage: number, endPage: number): boolean {
  let found = false;
  drmGpusvmForEachNotifier(gpusvm, startPage, endPage, (notifier) => {
    found ||= drmGpusvmRangeFind(notifier, startPage, endPage) !== null;
  });
  return found;
}

/** @internal drm_gpusvm_range_insert: driver lock, and notifier lock in read mode because invalidations walk the tree. */
export function* rangeInsert(range: DrmGpusvmRange): Task<void> {
  const { gpusvm, notifier, startPage, endPage } = range;
  const { notifierLock } = gpusvm;
  if (!notifierLock.tryDownRead()) yield* notifierLock.downRead();
  notifier.ranges.insert(range);
  notifierLock.upRead();
  gpusvm.liveRanges.add(range);
  gpusvm.counters[RANGE_CREATED]!++;
  const { rangeInsert: point } = gpusvm.trace;
  if (point.enabled) point.emit({ gpusvm: gpusvm.name, startPage, endPage });
}

/**
 * Take a range out of the mirror and drop the tree's reference (drm_gpusvm_range_remove); with the last range of a
 * window its notifier goes too. Driver lock held for writing, notifier lock not held. Sleeps.
 *
 * Since 7.3 it only unlinks: the driver calls `drmGpusvmUnmapPages` before, so that a range is never outside the
 * tree, where a munmap would miss it, while it is mapped. Profiles with `rangeRemoveUnmaps` unmap `embeddedPages`.
 */
export function* drmGpusvmRangeRemove(gpusvm: DrmGpusvm, range: DrmGpusvmRange): Task<void> {
  gpusvm.assertDriverLock();
  const { machine, notifierLock, name } = gpusvm;
  const { notifier, embeddedPages, startPage, endPage } = range;
  if (notifierLock.heldByMe) throw new Error(`a range of ${name} removed under the notifier lock`);
  if (!notifier.ranges.has(range))
    throw new Error(`range [${startPage}, ${endPage}) of ${name} removed twice`);
  yield* notifierLock.downRead();
  if (machine.profile.gpusvm.rangeRemoveUnmaps && embeddedPages !== null)
    unmapPagesLocked(gpusvm, embeddedPages);
  notifier.ranges.remove(range);
  notifierLock.upRead();
  gpusvm.counters[RANGE_REMOVED]!++;
  if (gpusvm.trace.rangeRemove.enabled) gpusvm.trace.rangeRemove.emit({ gpusvm: name, startPage, endPage });
  if (machine.scheduler.preemptive) yield RANGE_UNLINKED;
  drmGpusvmRangePut(range, 'tree');
  if (notifier.ranges.size === 0) yield* notifierRemove(gpusvm, notifier);
}
