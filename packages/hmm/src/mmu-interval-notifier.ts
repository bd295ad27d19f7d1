import {
  EAGAIN,
  EINVAL,
  EOVERFLOW,
  type Errno,
  IntervalTree,
  type SchedPoint,
  type Task,
  WaitQueue,
  done,
  schedPoint,
} from '@gpusvm/kernel';
import { NOTIFIER_CALLBACK, NOTIFIER_START } from './counters.ts';
import type { Mm } from './mm.ts';
import type { MmuNotifierRange } from './mmu-notifier-range.ts';
import {
  NOTIFIER_CALLBACK_TRACE,
  NOTIFIER_RANGE_TRACE,
  NOTIFIER_READ_TRACE,
  NOTIFIER_REMOVE_TRACE,
} from './protocol-tracepoints.ts';
import { MMU_INVALIDATE } from './tracepoints.ts';

const START: SchedPoint = schedPoint('mmu_notifier_invalidate_range_start');
const CALLBACK: SchedPoint = schedPoint('mmu_interval_notifier_ops.invalidate');
const END: SchedPoint = schedPoint('mmu_notifier_invalidate_range_end');

/** Operations of a subscription (struct mmu_interval_notifier_ops). */
export interface MmuIntervalNotifierOps {
  /**
   * Stop all use of the range: take the driver's lock, call `mmuIntervalSetSeq(sub, curSeq)`, undo device
   * mappings. May sleep if the range is blockable; never takes the mmap lock.
   *
   * @returns false only for a non-blockable range that would have to sleep.
   */
  invalidate(sub: MmuIntervalNotifier, range: MmuNotifierRange, curSeq: number): Task<boolean>;
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
 * Interval notifiers of one mm and the collision-retry state they share (struct mmu_notifier_subscriptions).
 * The sequence is odd while a writer is present, and then the tree is frozen.
 */
export class MmuNotifierSubscriptions {
  invalidateSeq = 2;
  /** Ranges between start and end. */
  readonly active: Set<MmuNotifierRange> = new Set();
  readonly tree: IntervalTree<MmuIntervalNotifier>;
  /** Inserts and removes that wait for the last end; a member that is in the tree is to be removed. */
  readonly deferred: Set<MmuIntervalNotifier> = new Set();
  readonly queue: WaitQueue;

  constructor(mm: Mm) {
    this.tree = new IntervalTree<MmuIntervalNotifier>(
      (sub) => sub.startPage,
      (sub) => sub.lastPage,
    );
    this.queue = new WaitQueue(mm.machine.scheduler, `invalidation of ${mm.name}`);
  }

  /** mn_itree_is_invalidating */
  get invalidating(): boolean {
    return (this.invalidateSeq & 1) === 1;
  }

  /** Subscriptions that were inserted and not removed, for the ledger. */
  describe(): string[] {
    const out: string[] = [];
    const name = (sub: MmuIntervalNotifier): void => {
      out.push(`${sub.mm?.name ?? '?'} pages ${sub.startPage}..${sub.lastPage}`);
    };
    this.tree.forEach(name);
    for (const sub of this.deferred) if (!this.tree.has(sub)) name(sub);
    return out;
  }

  /** mn_itree_inv_end: the last end makes the sequence even and catches up with inserts and removes. */
  end(range: MmuNotifierRange): void {
    this.active.delete(range);
    if (this.active.size > 0 || !this.invalidating) return;
    this.invalidateSeq++;
    for (const sub of this.deferred) {
      if (this.tree.has(sub)) this.tree.remove(sub);
      else this.tree.insert(sub);
    }
    this.deferred.clear();
    this.queue.wakeAll();
  }
}

/**
 * Subscribe to `[startPage, startPage + pages)` (mmu_interval_notifier_insert, mm/mmu_notifier.c). The notifier
 * holds the mm's structure (mmgrab) until it is removed.
 *
 * @returns 0; -EOVERFLOW for an empty range or one beyond the address space; -EINVAL (and a warning) when the
 * address space has no users. May sleep in the kernel (mmap write lock for the first one of an mm).
 */
export function mmuIntervalNotifierInsert(
  sub: MmuIntervalNotifier,
  mm: Mm,
  startPage: number,
  pages: number,
  ops: MmuIntervalNotifierOps,
): Task<Errno> {
  return done(insert(sub, mm, startPage, pages, ops));
}

function insert(
  sub: MmuIntervalNotifier,
  mm: Mm,
  startPage: number,
  pages: number,
  ops: MmuIntervalNotifierOps,
): Errno {
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
  const point = mm.machine.trace.point(NOTIFIER_REMOVE_TRACE);
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

/**
 * Tell every overlapping subscription that a range is about to change (mmu_notifier_invalidate_range_start). Costs
 * one test when the mm has no subscription; callers on hot paths test `mm.notifiers` themselves.
 *
 * @returns 0; -EAGAIN when the range is not blockable and a callback refused, and then the end must not be called.
 */
export function* mmuNotifierInvalidateRangeStart(mm: Mm, range: MmuNotifierRange): Task<Errno> {
  const subs = mm.notifiers;
  if (subs === null) return 0;
  const preemptive = mm.machine.scheduler.preemptive;
  if (preemptive) yield START;
  const counters = mm.folios.counters.values;
  counters[NOTIFIER_START]!++;
  subs.active.add(range);
  const hit: MmuIntervalNotifier[] = [];
  subs.tree.forEachOverlap(range.startPage, range.endPage - 1, (sub) => hit.push(sub));
  if (hit.length > 0) subs.invalidateSeq |= 1;
  const curSeq = subs.invalidateSeq;
  trace(mm, range, 'start', curSeq);
  traceRange(mm, range, 'start');
  const callback = mm.machine.trace.point(NOTIFIER_CALLBACK_TRACE);
  for (const sub of hit) {
    if (preemptive) yield CALLBACK;
    counters[NOTIFIER_CALLBACK]!++;
    if (callback.enabled) callback.emit({ phase: 'begin', mm, sub, range, curSeq, result: true });
    const result = yield* sub.ops!.invalidate(sub, range, curSeq);
    if (callback.enabled) callback.emit({ phase: 'end', mm, sub, range, curSeq, result });
    if (result) continue;
    if (range.blockable) {
      mm.machine.warn(
        'mn_itree_invalidate: blockable',
        `callback of pages ${sub.startPage}..${sub.lastPage} refused`,
      );
      continue;
    }
    subs.end(range);
    traceRange(mm, range, 'refused');
    return -EAGAIN;
  }
  return 0;
}

/** The range has changed (mmu_notifier_invalidate_range_end). Takes the same object as a start that returned 0. */
export function* mmuNotifierInvalidateRangeEnd(mm: Mm, range: MmuNotifierRange): Task<void> {
  const subs = mm.notifiers;
  traceRange(mm, range, 'end');
  // The mm's first subscription may have come after the start, which then is not on record.
  if (subs === null || !subs.active.has(range)) return;
  if (mm.machine.scheduler.preemptive) yield END;
  subs.end(range);
  trace(mm, range, 'end', subs.invalidateSeq);
}

function trace(mm: Mm, range: MmuNotifierRange, phase: 'start' | 'end', seq: number): void {
  const point = mm.machine.trace.point(MMU_INVALIDATE);
  if (!point.enabled) return;
  const { event, startPage, endPage } = range;
  point.emit({ mm: mm.name, event, startPage, endPage, phase, seq });
}

function traceRange(mm: Mm, range: MmuNotifierRange, phase: 'start' | 'refused' | 'end'): void {
  const point = mm.machine.trace.point(NOTIFIER_RANGE_TRACE);
  if (point.enabled) point.emit({ phase, mm, range });
}

function traceRead(sub: MmuIntervalNotifier, phase: 'begin' | 'retry', seq: number): void {
  const point = sub.mm?.machine.trace.point(NOTIFIER_READ_TRACE);
  if (point?.enabled === true) point.emit({ phase, sub, seq, stale: sub.invalidateSeq !== seq });
}
