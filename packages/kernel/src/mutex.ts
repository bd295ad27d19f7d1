import type { FaultInjection } from './fault-injection.ts';
import { LOCK_RELEASED, LOCK_TAKEN, type LockEvent } from './lock-trace.ts';
import type { Machine } from './machine.ts';
import type { Scheduler } from './scheduler.ts';
import type { TaskHandle } from './task-handle.ts';
import {
  type BlockSuspension,
  StepTask,
  type Suspension,
  type Task,
  type TaskRef,
  type Waitable,
} from './task.ts';
import type { Tracepoint } from './tracepoint.ts';
import type { VirtualClock } from './virtual-clock.ts';

const LOCKED: IteratorReturnResult<void> = { done: true, value: undefined };

/**
 * A sleeping mutual-exclusion lock with an owner (include/linux/mutex.h).
 *
 * As in kernel/locking/mutex.c, a waiter keeps its place until it has the lock, a task that comes along may take a
 * free lock before a woken waiter does, and a waiter that was robbed once gets the lock handed over at the next
 * unlock. Where a plain function does or a generator would cost too much, try first:
 * `if (!mutex.tryLock()) yield* mutex.lock();`
 */
export class Mutex implements Waitable {
  readonly label: string;
  readonly #machine: Machine;
  readonly #scheduler: Scheduler;
  readonly #clock: VirtualClock;
  readonly #lockTask: Task<void>;
  readonly #asleep: IteratorYieldResult<BlockSuspension>;
  readonly #waiters: TaskHandle[] = [];
  readonly #object: number;
  readonly #faults: FaultInjection;
  readonly #taken: Tracepoint<LockEvent>;
  readonly #released: Tracepoint<LockEvent>;
  #owner: TaskHandle | null = null;
  #handOver = false;
  /** Timed mode: instant of the last unlock, which a task that is behind cannot undercut. */
  #releasedNs = 0;

  /** @param name - name in reports, for instance `vm.lock`. */
  constructor(machine: Machine, name: string) {
    this.label = `mutex ${name}`;
    this.#machine = machine;
    this.#scheduler = machine.scheduler;
    this.#clock = machine.clock;
    this.#object = machine.scheduler.newObject();
    this.#faults = machine.faultInjection;
    this.#taken = machine.trace.point(LOCK_TAKEN);
    this.#released = machine.trace.point(LOCK_RELEASED);
    this.#lockTask = new LockTask(this).asTask();
    this.#asleep = { done: false, value: { kind: 'block', on: this } };
  }

  owners(): readonly TaskRef[] {
    return this.#owner === null ? [] : [this.#owner];
  }

  /**
   * Take the lock (mutex_lock); may sleep. Taking it twice from one task is a deadlock, reported as such. Allocates
   * nothing. The lock is taken when the task is run, not by the call: without `yield*` nothing happens.
   */
  lock(): Task<void> {
    return this.#lockTask;
  }

  /** Take the lock if it is free (mutex_trylock). Does not sleep. */
  tryLock(): boolean {
    this.#scheduler.accesses?.read(this.#object);
    if (this.#owner !== null || this.#releasedNs > this.#clock.nowNs) return false;
    if (this.#faults.trylocks > 0 && this.#faults.choosesTrylock()) return false;
    this.#scheduler.accesses?.write(this.#object);
    this.#own(this.#machine.currentTask(), false);
    return true;
  }

  /**
   * Release the lock (mutex_unlock). Does not sleep.
   *
   * @throws Error when the calling task is not the owner.
   */
  unlock(): void {
    const task = this.#machine.currentTask();
    if (this.#owner !== task) {
      throw new Error(`${this.label} unlocked by ${task.name}, held by ${this.#owner?.name ?? 'nobody'}`);
    }
    this.#scheduler.accesses?.write(this.#object);
    task.dropHeld(this);
    this.#owner = null;
    if (this.#released.enabled) this.#released.emit({ lock: this, task, mode: 'exclusive', maySleep: false });
    if (this.#scheduler.timed) this.#releasedNs = this.#clock.nowNs;
    if (this.#waiters.length > 0) this.#wakeFirst(this.#waiters[0]!);
  }

  /** Whether the calling task holds the lock. */
  get heldByMe(): boolean {
    return this.#owner !== null && this.#owner === this.#machine.currentTask();
  }

  /** Whether anybody holds the lock (mutex_is_locked). */
  get locked(): boolean {
    this.#scheduler.accesses?.read(this.#object);
    return this.#owner !== null;
  }

  /** lockdep_assert_held: throws unless the calling task holds the lock. */
  assertHeld(): void {
    if (!this.heldByMe) throw new Error(`${this.label} must be held by ${this.#machine.currentTask().name}`);
  }

  /** @internal One step of {@link lock} for the running task. */
  lockStep(): IteratorResult<Suspension, void> {
    this.#scheduler.accesses?.write(this.#object);
    if (this.#owner === null && this.#waiters.length === 0) {
      this.#clock.advanceTo(this.#releasedNs);
      this.#own(this.#machine.currentTask(), true);
      return LOCKED;
    }
    return this.#contendedStep();
  }

  #contendedStep(): IteratorResult<Suspension, void> {
    const task = this.#scheduler.current;
    if (task === null) throw new Error(`wait for ${this.label} outside of a task`);
    const place = this.#waiters.indexOf(task);
    if (this.#owner === null) {
      this.#clock.advanceTo(this.#releasedNs);
      this.#own(task, true);
    } else if (place < 0 || this.#owner !== task) {
      if (place < 0) this.#waiters.push(task);
      else this.#handOver = true;
      return this.#asleep;
    }
    if (place >= 0) this.#waiters.splice(place, 1);
    return LOCKED;
  }

  #own(task: TaskHandle, maySleep: boolean): void {
    this.#owner = task;
    task.held.push(this);
    if (this.#taken.enabled) this.#taken.emit({ lock: this, task, mode: 'exclusive', maySleep });
  }

  #wakeFirst(first: TaskHandle): void {
    if (this.#handOver) {
      this.#handOver = false;
      this.#own(first, true);
    }
    this.#scheduler.wake(first);
  }
}

class LockTask extends StepTask<void> {
  readonly #mutex: Mutex;

  constructor(mutex: Mutex) {
    super();
    this.#mutex = mutex;
  }

  next(): IteratorResult<Suspension, void> {
    return this.#mutex.lockStep();
  }
}
