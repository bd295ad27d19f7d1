import { EAGAIN, type Errno, type SchedPoint, type Task, schedPoint } from '@gpusvm/kernel';
import { NOTIFIER_CALLBACK, NOTIFIER_START } from './counters.ts';
import type { Mm } from './mm.ts';
import {
  type FinishSlot,
  type MmuIntervalNotifier,
  type MmuIntervalNotifierFinish,
  usesTwoPasses,
} from './mmu-interval-notifier.ts';
import type { MmuNotifierRange } from './mmu-notifier-range.ts';

const START: SchedPoint = schedPoint('mmu_notifier_invalidate_range_start');
const CALLBACK: SchedPoint = schedPoint('mmu_interval_notifier_ops.invalidate');
const FINISH: SchedPoint = schedPoint('mmu_interval_notifier_ops.invalidate_finish');
const END: SchedPoint = schedPoint('mmu_notifier_invalidate_range_end');

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
  const callback = mm.folios.protocol.callback;
  let finishes: MmuIntervalNotifierFinish[] | null = null;
  let err: Errno = 0;
  for (const sub of hit) {
    if (preemptive) yield CALLBACK;
    counters[NOTIFIER_CALLBACK]!++;
    const ops = sub.ops!;
    if (callback.enabled) callback.emit({ phase: 'begin', mm, sub, range, curSeq, result: true });
    const ok = usesTwoPasses(mm, ops)
      ? yield* callFirst(sub, range, curSeq, (finishes ??= []))
      : yield* ops.invalidate!(sub, range, curSeq);
    if (callback.enabled) {
      const pending = finishes?.some((finish) => finish.notifier === sub) === true;
      callback.emit({ phase: pending ? 'first' : 'end', mm, sub, range, curSeq, result: ok });
    }
    if (ok) continue;
    if (!range.blockable) {
      err = -EAGAIN;
      break;
    }
    mm.machine.warn(
      'mn_itree_invalidate: blockable',
      `callback of pages ${sub.startPage}..${sub.lastPage} refused`,
    );
  }
  for (const finish of finishes ?? []) {
    if (preemptive) yield FINISH;
    const sub = finish.notifier!;
    yield* sub.ops!.invalidateFinish!(finish);
    if (callback.enabled) callback.emit({ phase: 'end', mm, sub, range, curSeq, result: true });
  }
  if (err !== 0) {
    subs.end(range);
    trace(mm, range, 'end', subs.invalidateSeq);
    traceRange(mm, range, 'refused');
  }
  return err;
}

/** One subscription's first pass of two. What it hands over counts only if it succeeded. */
function* callFirst(
  sub: MmuIntervalNotifier,
  range: MmuNotifierRange,
  curSeq: number,
  finishes: MmuIntervalNotifierFinish[],
): Task<boolean> {
  const ops = sub.ops!;
  const slot: FinishSlot = { finish: null };
  const ok = yield* ops.invalidateStart!(sub, range, curSeq, slot);
  if (!ok || slot.finish === null) return ok;
  slot.finish.notifier = sub;
  if (ops.invalidateFinish !== undefined) finishes.push(slot.finish);
  return ok;
}

/** The range has changed (mmu_notifier_invalidate_range_end). Takes the same object as a start that returned 0. */
export function* mmuNotifierInvalidateRangeEnd(mm: Mm, range: MmuNotifierRange): Task<void> {
  traceRange(mm, range, 'end');
  if (!isOnRecord(mm, range)) return;
  if (mm.machine.scheduler.preemptive) yield END;
  endOnRecord(mm, range);
}

/** @internal {@link mmuNotifierInvalidateRangeEnd} where nobody preempts: no generator. */
export function invalidateRangeEndAtOnce(mm: Mm, range: MmuNotifierRange): void {
  traceRange(mm, range, 'end');
  if (isOnRecord(mm, range)) endOnRecord(mm, range);
}

/** The mm's first subscription may have come after the start, which then is not on record. */
function isOnRecord(mm: Mm, range: MmuNotifierRange): boolean {
  return mm.notifiers !== null && mm.notifiers.active.has(range);
}

function endOnRecord(mm: Mm, range: MmuNotifierRange): void {
  const subs = mm.notifiers!;
  subs.end(range);
  trace(mm, range, 'end', subs.invalidateSeq);
}

function trace(mm: Mm, range: MmuNotifierRange, phase: 'start' | 'end', seq: number): void {
  const point = mm.folios.invalidateTrace;
  if (!point.enabled) return;
  const { event, startPage, endPage } = range;
  point.emit({ mm: mm.name, event, startPage, endPage, phase, seq });
}

function traceRange(mm: Mm, range: MmuNotifierRange, phase: 'start' | 'refused' | 'end'): void {
  const point = mm.folios.protocol.range;
  if (point.enabled) point.emit({ phase, mm, range });
}
