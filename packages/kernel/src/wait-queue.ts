import type { Scheduler } from './scheduler.ts';
import type { TaskHandle } from './task-handle.ts';
import type { BlockSuspension, Task, TaskRef, Waitable } from './task.ts';

/** A list of tasks that wait for an event (include/linux/wait.h). First come, first woken. */
export class WaitQueue implements Waitable {
  readonly label: string;
  readonly #scheduler: Scheduler;
  readonly #suspension: BlockSuspension;
  readonly #step: IteratorYieldResult<BlockSuspension>;
  readonly #owners: (waiter?: TaskRef) => readonly TaskRef[];
  readonly #object: number;
  #waiters: TaskHandle[] = [];

  /**
   * @param scheduler - the machine's scheduler.
   * @param label - name in deadlock reports.
   * @param owners - who has to act for the event to happen, where that is known.
   * @param on - what a deadlock report names instead of this queue, for instance the lock it belongs to.
   */
  constructor(
    scheduler: Scheduler,
    label: string,
    owners: (waiter?: TaskRef) => readonly TaskRef[] = () => [],
    on?: Waitable,
  ) {
    this.#scheduler = scheduler;
    this.#object = scheduler.newObject();
    this.label = label;
    this.#owners = owners;
    this.#suspension = { kind: 'block', on: on ?? this };
    this.#step = { done: false, value: this.#suspension };
  }

  owners(waiter?: TaskRef): readonly TaskRef[] {
    return this.#owners(waiter);
  }

  /** The running step reads what waiters of this queue wait for; noted for a search that reduces by independence. */
  noteRead(): void {
    this.#scheduler.accesses?.read(this.#object);
  }

  /** The running step changes what waiters of this queue wait for. */
  noteWrite(): void {
    this.#scheduler.accesses?.write(this.#object);
  }

  /** Number of waiting tasks. */
  get length(): number {
    this.noteRead();
    return this.#waiters.length;
  }

  /** Sleep until the next wake-up. Sleeps always. */
  *wait(): Task<void> {
    this.enqueue();
    yield this.#suspension;
  }

  /**
   * Sleep until `condition` holds (wait_event). Does not sleep when it holds already.
   *
   * @param condition - asked before the first sleep and after each wake-up.
   */
  *waitUntil(condition: () => boolean): Task<void> {
    // Whoever makes the condition true wakes the queue, so that looking at the condition is a read of the queue.
    this.noteRead();
    while (!condition()) {
      this.enqueue();
      yield this.#suspension;
      this.noteRead();
    }
  }

  /** Wake everybody (wake_up_all). Does not sleep. */
  wakeAll(): void {
    this.noteWrite();
    if (this.#waiters.length === 0) return;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) this.#scheduler.wake(waiter);
  }

  /** Wake the task that has waited longest (wake_up). Does not sleep. */
  wakeOne(): void {
    this.noteWrite();
    if (this.#waiters.length === 0) return;
    this.#scheduler.wake(this.#waiters.shift()!);
  }

  /**
   * Put the running task on the queue; it must then yield the returned result, as a {@link StepTask} does.
   *
   * @throws Error outside of a task, where nobody could be woken.
   */
  enqueue(): IteratorYieldResult<BlockSuspension> {
    const current = this.#scheduler.current;
    if (current === null) throw new Error(`wait for ${this.label} outside of a task`);
    this.noteWrite();
    this.#waiters.push(current);
    return this.#step;
  }
}
