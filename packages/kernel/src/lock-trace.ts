import type { TaskHandle } from './task-handle.ts';
import type { Waitable } from './task.ts';
import { defineLiveTracepoint, type TracepointDef } from './tracepoint.ts';

/** A sleeping lock was taken or released (trace events lock_acquired and lock_release). */
export interface LockEvent {
  readonly lock: Waitable;
  readonly task: TaskHandle;
  /** `exclusive` for a mutex. */
  readonly mode: 'read' | 'write' | 'exclusive';
  /** Taken by a call that may sleep for it, whether it had to or not; false for a trylock, and at the release. */
  readonly maySleep: boolean;
}

/** A task has taken a lock; it is in `task.held` already. */
export const LOCK_TAKEN: TracepointDef<LockEvent> = defineLiveTracepoint('lock_taken');
/** A task has released a lock; it is in `task.held` no more. */
export const LOCK_RELEASED: TracepointDef<LockEvent> = defineLiveTracepoint('lock_released');

/** A task is about to allocate in a way that may wait for reclaim (might_alloc in include/linux/sched/mm.h). */
export interface MightAllocEvent {
  /** Function that allocates. */
  readonly site: string;
}

/** Emitted whether memory is short or not, so that a lock that reclaim needs is found out on every run. */
export const MIGHT_ALLOC: TracepointDef<MightAllocEvent> = defineLiveTracepoint('might_alloc');
