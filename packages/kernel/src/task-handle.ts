import type { Task, TaskRef, Waitable } from './task.ts';

/** Where a task stands. In timed mode a task whose turn comes later counts as sleeping. */
export type TaskState = 'runnable' | 'blocked' | 'sleeping' | 'done' | 'failed';

/** A task known to the scheduler. */
export class TaskHandle<T = unknown> implements TaskRef {
  readonly id: number;
  readonly name: string;
  state: TaskState = 'runnable';
  /** What a blocked task waits for. */
  waitingFor: Waitable | null = null;
  /** Locks held, in the order they were taken; a lock held twice for reading is listed twice. */
  readonly held: Waitable[] = [];
  /** Virtual instant before which the task does not go on. */
  wakeAtNs = 0;
  /** Times the task has slept: waited for somebody, or for time to pass. Preemption points do not count. */
  sleeps = 0;
  /** @internal Order among sleepers of the same instant. */
  wakeOrder = 0;
  /** Where the task was suspended last: the name of a preemption point, `block`, `sleep`, or `start`. */
  at = 'start';
  /** @internal The task sleeps to poll, see {@link SleepSuspension}. */
  polls = false;
  result: T | undefined = undefined;
  error: unknown = undefined;
  /** @internal */
  readonly task: Task<T>;

  constructor(id: number, name: string, task: Task<T>) {
    this.id = id;
    this.name = name;
    this.task = task;
  }

  /** Whether the task has ended, well or badly. */
  get ended(): boolean {
    return this.state === 'done' || this.state === 'failed';
  }

  /** Take one hold of a lock off {@link held}; locks are mostly released in reverse order, which is O(1). */
  dropHeld(lock: Waitable): void {
    const held = this.held;
    if (held[held.length - 1] === lock) held.pop();
    else held.splice(held.lastIndexOf(lock), 1);
  }
}
