import { EINTR, EINVAL, ENOMEM, EOVERFLOW, type Errno, type Task } from '@gpusvm/kernel';
import type { Mm } from './mm.ts';
import type { MmuNotifierRange } from './mmu-notifier-range.ts';
import { MmuNotifierSubscriptions } from './mmu-notifier-subscriptions.ts';

/**
 * What the first pass of an invalidation leaves for the second (struct mmu_interval_notifier_finish). Owned by the
 * driver; one object serves one invalidation at a time.
 */
export interface MmuIntervalNotifierFinish {
  /** Set by the core. */
  notifier: MmuIntervalNotifier | null;
}

/** Out parameter of `invalidateStart`. */
export interface FinishSlot {
  finish: MmuIntervalNotifierFinish | null;
}

/** Operations of a subscription (struct mmu_interval_notifier_ops). */
export interface MmuIntervalNotifierOps {
  /**
   * Stop all use of the range: take the driver's lock, call `mmuIntervalSetSeq(sub, curSeq)`, undo device
   * mappings. May sleep if the range is blockable; never takes the mmap lock.
   *
   * @returns false only for a non-blockable range that would have to sleep.
   */
  invalidate?(sub: MmuIntervalNotifier, range: MmuNotifierRange, curSeq: number): Task<boolean>;
  /**
   * First pass of two, used instead of `invalidate` where the kernel has it (7.3): start what takes long, for instance
   * a TLB flush, and hand over what the second pass needs in `slot.finish`. Without it this is all. Otherwise as
   * `invalidate`.
   */
  invalidateStart?(
    sub: MmuIntervalNotifier,
    range: MmuNotifierRange,
    curSeq: number,
    slot: FinishSlot,
  ): Task<boolean>;
  /** Second pass: wait for what the first started. Runs when all first passes are through, also of a failed start. */
  invalidateFinish?(finish: MmuIntervalNotifierFinish): Task<void>;
}

/** A subscription to changes of a part of an address space (struct mmu_interval_notifier). */
export class MmuIntervalNotifier {
  startPage = 0;
  /** Inclusive. */
  lastPage = -1;
  mm: Mm | null = null;
  /** Odd always; equal to the mm's sequence while an invalidation of this range runs. */
  invalidateSeq = 0;
  /** @internal */
  ops: MmuIntervalNotifierOps | null = null;
}

/**
 * Subscribe to `[startPage, startPage + pages)` (mmu_interval_notifier_insert, mm/mmu_notifier.c). The notifier
 * holds the mm's structure (mmgrab) until it is removed. The first one of an mm takes the mmap lock for writing, so it
 * may sleep and must not be called with the lock held.
 *
 * @returns 0; -EOVERFLOW for an empty range or one beyond the address space; -EINVAL (and a warning) when the
 * address space has no users; for the first one of an mm -ENOMEM (fault site `hmm.notifier_alloc`) and -EINTR (fault
 * site `hmm.fatal_signal`).
 * @throws TypeError when `ops` has no callback that this kernel would call.
 */
export function* mmuIntervalNotifierInsert(
  sub: MmuIntervalNotifier,
  mm: Mm,
  startPage: number,
  pages: number,
  ops: MmuIntervalNotifierOps,
): Task<Errno> {
  // might_lock(&mm->mmap_lock), also when it is not the first.
  const point = mm.folios.protocol.insert;
  if (point.enabled) point.emit({ mm });
  if (mm.notifiers === null && mm.users > 0) {
    if (mm.folios.notifierAllocSite.shouldFail()) return -ENOMEM;
    yield* mm.mmapLock.downWrite();
    // mm_take_all_locks gives up for a signal.
    const err = mm.folios.signalSite.shouldFail() ? -EINTR : 0;
    if (err === 0) mm.notifiers ??= new MmuNotifierSubscriptions(mm);
    mm.mmapLock.upWrite();
    if (err !== 0) return err;
  }
  if (ops.invalidateStart !== undefined && ops.invalidateFinish === undefined) {
    mm.machine.warn('mmu_interval_notifier_insert: finish', 'invalidateStart without invalidateFinish');
  }
  return insert(sub, mm, startPage, pages, ops);
}

/** As {@link mmuIntervalNotifierInsert} with the mmap lock held for writing (mmu_interval_notifier_insert_locked). */
export function mmuIntervalNotifierInsertLocked(
  sub: MmuIntervalNotifier,
  mm: Mm,
  startPage: number,
  pages: number,
  ops: MmuIntervalNotifierOps,
): Errno {
  mm.mmapLock.assertHeldWrite();
  if (mm.notifiers === null && mm.folios.notifierAllocSite.shouldFail()) return -ENOMEM;
  if (mm.notifiers === null && mm.folios.signalSite.shouldFail()) return -EINTR;
  return insert(sub, mm, startPage, pages, ops);
}

function insert(
  sub: MmuIntervalNotifier,
  mm: Mm,
  startPage: number,
  pages: number,
  ops: MmuIntervalNotifierOps,
): Errno {
  if (ops.invalidate === undefined && !usesTwoPasses(mm, ops)) {
    throw new TypeError(
      'a subscription needs ops.invalidate, or ops.invalidateStart on a kernel that calls it',
    );
  }
  if (!(pages > 0) || startPage < 0 || startPage + pages > 2 ** 52) return -EOVERFLOW;
  if (mm.users <= 0) {
    mm.machine.warn('mmu_interval_notifier_insert: mm_users', `${mm.name} has no users`);
    return -EINVAL;
  }
  sub.startPage = startPage;
  sub.lastPage = startPage + pages - 1;
  sub.mm = mm;
  sub.ops = ops;
  mm.notifiers ??= new MmuNotifierSubscriptions(mm);
  const subs = mm.notifiers;
  mm.mmgrab();
  if (subs.active.size === 0) {
    sub.invalidateSeq = subs.invalidateSeq - 1;
    subs.tree.insert(sub);
    return 0;
  }
  if (subs.invalidating) {
    subs.deferred.add(sub);
  } else {
    // Active ranges that overlapped nobody: become a writer for them, so that the new reader waits.
    subs.invalidateSeq |= 1;
    subs.tree.insert(sub);
  }
  sub.invalidateSeq = subs.invalidateSeq;
  return 0;
}

/**
 * End a subscription (mmu_interval_notifier_remove); sleeps until the invalidation that runs now has ended, after
 * which no callback runs. Forbidden in callbacks and under any lock that a callback takes.
 */
export function* mmuIntervalNotifierRemove(sub: MmuIntervalNotifier): Task<void> {
  const mm = sub.mm;
  const subs = mm?.notifiers ?? null;
  if (mm === null || subs === null) throw new Error('interval notifier removed that was not inserted');
  const point = mm.folios.protocol.remove;
  if (point.enabled) point.emit({ sub });
  let waitSeq = 0;
  if (!subs.invalidating) {
    if (!subs.tree.remove(sub)) throw new Error('interval notifier removed twice');
  } else if (!subs.tree.has(sub)) {
    subs.deferred.delete(sub);
  } else {
    subs.deferred.add(sub);
    waitSeq = subs.invalidateSeq;
  }
  if (waitSeq !== 0) yield* subs.queue.waitUntil(() => subs.invalidateSeq !== waitSeq);
  sub.mm = null;
  sub.ops = null;
  mm.mmdrop();
}

/**
 * Begin a read side (mmu_interval_read_begin); sleeps while an invalidation of the range runs, and then until
 * every invalidation of the mm has ended.
 *
 * @returns the sequence number for {@link mmuIntervalReadRetry}; it may be stale already.
 */
export function* mmuIntervalReadBegin(sub: MmuIntervalNotifier): Task<number> {
  const seq = sub.invalidateSeq;
  const subs = sub.mm?.notifiers ?? null;
  if (subs === null) throw new Error('read side of an interval notifier that is not inserted');
  traceRead(sub, 'begin', seq);
  if (subs.invalidateSeq === seq) yield* subs.queue.waitUntil(() => subs.invalidateSeq !== seq);
  return seq;
}

/** Whether an invalidation came after `seq` (mmu_interval_read_retry). Only meaningful under the driver's lock. */
export function mmuIntervalReadRetry(sub: MmuIntervalNotifier, seq: number): boolean {
  traceRead(sub, 'retry', seq);
  return sub.invalidateSeq !== seq;
}

/** As {@link mmuIntervalReadRetry} without the lock: a hint to give up early (mmu_interval_check_retry). */
export function mmuIntervalCheckRetry(sub: MmuIntervalNotifier, seq: number): boolean {
  return sub.invalidateSeq !== seq;
}

/** Record the running invalidation, inside `invalidate` under the driver's lock (mmu_interval_set_seq). */
export function mmuIntervalSetSeq(sub: MmuIntervalNotifier, curSeq: number): void {
  sub.invalidateSeq = curSeq;
}

function traceRead(sub: MmuIntervalNotifier, phase: 'begin' | 'retry', seq: number): void {
  const point = sub.mm?.folios.protocol.read;
  if (point?.enabled === true) point.emit({ phase, sub, seq, stale: sub.invalidateSeq !== seq });
}

/** @internal Whether this kernel calls the two-pass operations of a subscription. */
export function usesTwoPasses(mm: Mm, ops: MmuIntervalNotifierOps): boolean {
  return ops.invalidateStart !== undefined && mm.machine.profile.hmm.twoPassNotifiers;
}
