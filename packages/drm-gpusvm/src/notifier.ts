import {
  MmuIntervalNotifier,
  type MmuIntervalNotifierOps,
  mmuIntervalNotifierRemove,
  mmuIntervalSetSeq,
} from '@gpusvm/hmm';
import { alignDown, IntervalTree, type Task } from '@gpusvm/kernel';
import { INVALIDATE } from './counters.ts';
import type { DrmGpusvm } from './gpusvm.ts';
import type { DrmGpusvmRange } from './range.ts';

/**
 * One aligned window of a mirror and the subscription to its changes (struct drm_gpusvm_notifier). It exists exactly
 * while it has ranges.
 */
export class DrmGpusvmNotifier extends MmuIntervalNotifier {
  readonly gpusvm: DrmGpusvm;
  /** @internal */
  readonly ranges: IntervalTree<DrmGpusvmRange> = new IntervalTree<DrmGpusvmRange>(
    (range) => range.startPage,
    (range) => range.endPage - 1,
  );
  /** The subscription has ended (drm_gpusvm_fini). */
  removed = false;

  /** drm_gpusvm_notifier_alloc: the window that contains `faultPage`. */
  constructor(gpusvm: DrmGpusvm, faultPage: number) {
    super();
    this.gpusvm = gpusvm;
    this.startPage = alignDown(faultPage, gpusvm.notifierPages);
    this.lastPage = this.startPage + gpusvm.notifierPages - 1;
  }

  /** Exclusive. */
  get endPage(): number {
    return this.lastPage + 1;
  }
}

/**
 * First notifier whose window overlaps `[startPage, endPage)` (drm_gpusvm_notifier_find), or null. Driver lock held.
 * Does not sleep; O(log n).
 */
export function drmGpusvmNotifierFind(
  gpusvm: DrmGpusvm,
  startPage: number,
  endPage: number,
): DrmGpusvmNotifier | null {
  return gpusvm.notifiers.first(startPage, endPage - 1) ?? null;
}

/**
 * Call `fn` for every notifier that overlaps `[startPage, endPage)`, in address order
 * (drm_gpusvm_for_each_notifier_safe). Driver lock held; `fn` may remove the one it is given.
 */
export function drmGpusvmForEachNotifier(
  gpusvm: DrmGpusvm,
  startPage: number,
  endPage: number,
  fn: (notifier: DrmGpusvmNotifier) => void,
): void {
  if (startPage < endPage) gpusvm.notifiers.forEachOverlap(startPage, endPage - 1, fn);
}

/** @internal drm_gpusvm_notifier_insert: driver lock held. */
export function notifierInsert(gpusvm: DrmGpusvm, notifier: DrmGpusvmNotifier): void {
  gpusvm.notifiers.insert(notifier);
}

/** @internal The subscription begins. */
export function notifierRegistered(gpusvm: DrmGpusvm, notifier: DrmGpusvmNotifier): void {
  gpusvm.liveNotifiers.add(notifier);
  const { startPage, endPage } = notifier;
  const { notifierInsert: point } = gpusvm.trace;
  if (point.enabled) point.emit({ gpusvm: gpusvm.name, startPage, endPage });
}

/**
 * @internal End the subscription, unless that was done, and forget the notifier. Sleeps until running invalidations
 * are through, so the notifier lock must not be held.
 */
export function* notifierRemove(gpusvm: DrmGpusvm, notifier: DrmGpusvmNotifier): Task<void> {
  if (!notifier.removed) {
    notifier.removed = true;
    yield* mmuIntervalNotifierRemove(notifier);
  }
  gpusvm.notifiers.remove(notifier);
  gpusvm.liveNotifiers.delete(notifier);
  const { startPage, endPage } = notifier;
  const { notifierRemove: point } = gpusvm.trace;
  if (point.enabled) point.emit({ gpusvm: gpusvm.name, startPage, endPage });
}

/**
 * @internal drm_gpusvm_notifier_ops: the MMU callback. There is no owner filtering: the driver's own migrations
 * invalidate its own ranges too.
 */
export const NOTIFIER_OPS: MmuIntervalNotifierOps = Object.freeze({
  *invalidate(sub, range, curSeq) {
    // Taking the lock could sleep; the core then gives up (-EAGAIN, for instance to the OOM reaper).
    if (!range.blockable) return false;
    const notifier = sub as DrmGpusvmNotifier;
    const { gpusvm } = notifier;
    const { notifierLock, trace, name } = gpusvm;
    if (!notifierLock.tryDownWrite()) yield* notifierLock.downWrite();
    mmuIntervalSetSeq(sub, curSeq);
    gpusvm.counters[INVALIDATE]!++;
    const { startPage, endPage, event } = range;
    if (trace.invalidate.enabled)
      trace.invalidate.emit({ gpusvm: name, startPage, endPage, event, phase: 'begin' });
    yield* gpusvm.ops!.invalidate(gpusvm, notifier, range);
    if (trace.invalidate.enabled)
      trace.invalidate.emit({ gpusvm: name, startPage, endPage, event, phase: 'end' });
    notifierLock.upWrite();
    return true;
  },
} satisfies MmuIntervalNotifierOps);
