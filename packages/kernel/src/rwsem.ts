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

const TAKEN: IteratorReturnResult<void> = { done: true, value: undefined };

/**
 * A sleeping reader-writer lock (include/linux/rwsem.h). Waiters are served in order: a waiting writer keeps later
 * readers out, as in kernel/locking/rwsem.c, so a task that takes it for reading twice can deadlock. Unlike the
 * kernel's optimistic spinning, a writer never overtakes a waiter.
 *
 * Where a plain function does or a generator would cost too much, try first:
 * `if (!sem.tryDownRead()) yield* sem.downRead();`
 */
export class RwSem implements Waitable {
  readonly label: string;
  readonly #machine: Machine;
  readonly #scheduler: Scheduler;
  readonly #clock: VirtualClock;
  readonly #readTask: Task<void>;
  readonly #writeTask: Task<void>;
  readonly #asleep: IteratorYieldResult<BlockSuspension>;
  readonly #object: number;
  readonly #faults: FaultInjection;
  readonly #taken: Tracepoint<LockEvent>;
  readonly #released: Tracepoint<LockEvent>;
  readonly #readers: TaskHandle[] = [];
  #writer: TaskHandle | null = null;
  /** Waiting tasks in order of arrival, and whether each wants to write. */
  readonly #waiters: TaskHandle[] = [];
  readonly #wantsWrite: boolean[] = [];
  #waitingWriters = 0;
  /** Timed mode: instants of the last release by a reader and by a writer. */
  #readReleasedNs = 0;
  #writeReleasedNs = 0;

  /** @param name - name in reports, for instance `vm.lock`. */
  constructor(machine: Machine, name: string) {
    this.label = `rwsem ${name}`;
    this.#machine = machine;
    this.#scheduler = machine.scheduler;
    this.#clock = machine.clock;
    this.#object = machine.scheduler.newObject();
    this.#faults = machine.faultInjection;
    this.#taken = machine.trace.point(LOCK_TAKEN);
    this.#released = machine.trace.point(LOCK_RELEASED);
    this.#readTask = new DownTask(this, false).asTask();
    this.#writeTask = new DownTask(this, true).asTask();
    this.#asleep = { done: false, value: { kind: 'block', on: this } };
  }

  owners(waiter?: TaskRef): readonly TaskRef[] {
    if (this.#writer !== null) return [this.#writer];
    const place = this.#waiters.findIndex((task) => task === waiter);
    if (place < 0 || this.#wantsWrite[place] === true) return this.#readers;
    return this.#waiters.filter((_, i) => i < place && this.#wantsWrite[i] === true);
  }

  /**
   * Take for reading (down_read); may sleep. Allocates nothing. The lock is taken when the task is run, not by the
   * call: without `yield*` nothing happens.
   */
  downRead(): Task<void> {
    return this.#readTask;
  }

  /** Take for writing (down_write); may sleep. Otherwise as {@link downRead}. */
  downWrite(): Task<void> {
    return this.#writeTask;
  }

  /** Take for reading if no writer holds or awaits it (down_read_trylock). Does not sleep. */
  tryDownRead(): boolean {
    this.#scheduler.accesses?.read(this.#object);
    if (this.#writer !== null || this.#waitingWriters > 0) return false;
    if (this.#writeReleasedNs > this.#clock.nowNs) return false;
    if (this.#faults.trylocks > 0 && this.#faults.choosesTrylock()) return false;
    this.#ownRead(this.#machine.currentTask(), false);
    return true;
  }

  /** Take for writing if nobody holds or awaits it (down_write_trylock). Does not sleep. */
  tryDownWrite(): boolean {
    this.#scheduler.accesses?.read(this.#object);
    if (this.#writer !== null || this.#readers.length > 0 || this.#waiters.length > 0) return false;
    if (this.#writeReleasedNs > this.#clock.nowNs || this.#readReleasedNs > this.#clock.nowNs) return false;
    if (this.#faults.trylocks > 0 && this.#faults.choosesTrylock()) return false;
    this.#scheduler.accesses?.write(this.#object);
    this.#ownWrite(this.#machine.currentTask(), false);
    return true;
  }

  /**
   * Release a read hold of the calling task (up_read). Does not sleep.
   *
   * @throws Error when the calling task has none.
   */
  upRead(): void {
    this.#scheduler.accesses?.read(this.#object);
    const task = this.#machine.currentTask();
    const readers = this.#readers;
    if (readers[readers.length - 1] === task) {
      readers.pop();
    } else {
      const index = readers.lastIndexOf(task);
      if (index < 0)
        throw new Error(`${this.label} read-unlocked by ${task.name}, which does not hold it for reading`);
      readers.splice(index, 1);
    }
    task.dropHeld(this);
    if (this.#released.enabled) this.#released.emit({ lock: this, task, mode: 'read', maySleep: false });
    if (this.#scheduler.timed && this.#clock.nowNs > this.#readReleasedNs)
      this.#readReleasedNs = this.#clock.nowNs;
    if (readers.length === 0 && this.#waiters.length > 0) {
      this.#scheduler.accesses?.write(this.#object);
      this.#wakeNext();
    }
  }

  /**
   * Release the write hold of the calling task (up_write). Does not sleep.
   *
   * @throws Error when the calling task has none.
   */
  upWrite(): void {
    this.#scheduler.accesses?.write(this.#object);
    const task = this.#machine.currentTask();
    if (this.#writer !== task) {
      throw new Error(
        `${this.label} write-unlocked by ${task.name}, held by ${this.#writer?.name ?? 'no writer'}`,
      );
    }
    this.#writer = null;
    task.dropHeld(this);
    if (this.#released.enabled) this.#released.emit({ lock: this, task, mode: 'write', maySleep: false });
    if (this.#scheduler.timed) this.#writeReleasedNs = this.#clock.nowNs;
    if (this.#waiters.length > 0) this.#wakeNext();
  }

  /** Whether the calling task holds the lock in any mode. */
  get heldByMe(): boolean {
    const task = this.#machine.currentTask();
    return this.#writer === task || this.#readers.includes(task);
  }

  /** Whether the calling task holds the lock for writing. */
  get writeHeldByMe(): boolean {
    return this.#writer !== null && this.#writer === this.#machine.currentTask();
  }

  /** lockdep_assert_held: throws unless the calling task holds the lock. */
  assertHeld(): void {
    if (!this.heldByMe) throw new Error(`${this.label} must be held by ${this.#machine.currentTask().name}`);
  }

  /** lockdep_assert_held_write: throws unless the calling task holds the lock for writing. */
  assertHeldWrite(): void {
    if (!this.writeHeldByMe) {
      throw new Error(`${this.label} must be held for writing by ${this.#machine.currentTask().name}`);
    }
  }

  /** @internal One step of {@link downRead} for the running task. */
  readStep(): IteratorResult<Suspension, void> {
    if (this.#writer === null && this.#waiters.length === 0) {
      // Readers do not disturb one another, so that taking and releasing is a read of the lock.
      this.#scheduler.accesses?.read(this.#object);
      this.#clock.advanceTo(this.#writeReleasedNs);
      this.#ownRead(this.#machine.currentTask(), true);
      return TAKEN;
    }
    this.#scheduler.accesses?.write(this.#object);
    const task = this.#waiter();
    const place = this.#waiters.indexOf(task);
    if (this.#writer !== null || this.#isWriterBefore(place)) return this.#sleep(task, place, false);
    if (place >= 0) this.#leave(place);
    this.#clock.advanceTo(this.#writeReleasedNs);
    this.#ownRead(task, true);
    return TAKEN;
  }

  /** @internal One step of {@link downWrite} for the running task. */
  writeStep(): IteratorResult<Suspension, void> {
    this.#scheduler.accesses?.write(this.#object);
    const free = this.#writer === null && this.#readers.length === 0;
    if (!free || this.#waiters.length > 0) {
      const task = this.#waiter();
      if (!free || this.#waiters[0] !== task) return this.#sleep(task, this.#waiters.indexOf(task), true);
      this.#leave(0);
    }
    this.#clock.advanceTo(this.#writeReleasedNs);
    this.#clock.advanceTo(this.#readReleasedNs);
    this.#ownWrite(this.#machine.currentTask(), true);
    return TAKEN;
  }

  #waiter(): TaskHandle {
    const task = this.#scheduler.current;
    if (task === null) throw new Error(`wait for ${this.label} outside of a task`);
    return task;
  }

  /** Whether a writer waits before this place of the queue; -1 is its end. */
  #isWriterBefore(place: number): boolean {
    if (this.#waitingWriters === 0) return false;
    const first = this.#wantsWrite.indexOf(true);
    return place < 0 || first < place;
  }

  #sleep(task: TaskHandle, place: number, write: boolean): IteratorYieldResult<BlockSuspension> {
    if (place < 0) {
      this.#waiters.push(task);
      this.#wantsWrite.push(write);
      if (write) this.#waitingWriters++;
    }
    return this.#asleep;
  }

  #leave(place: number): void {
    if (this.#wantsWrite[place] === true) this.#waitingWriters--;
    this.#waiters.splice(place, 1);
    this.#wantsWrite.splice(place, 1);
  }

  #ownRead(task: TaskHandle, maySleep: boolean): void {
    this.#readers.push(task);
    task.held.push(this);
    if (this.#taken.enabled) this.#taken.emit({ lock: this, task, mode: 'read', maySleep });
  }

  #ownWrite(task: TaskHandle, maySleep: boolean): void {
    this.#writer = task;
    task.held.push(this);
    if (this.#taken.enabled) this.#taken.emit({ lock: this, task, mode: 'write', maySleep });
  }

  /** Wake the writer at the head of the queue, or all readers up to the first writer. They leave it themselves. */
  #wakeNext(): void {
    if (this.#wantsWrite[0] === true) {
      if (this.#readers.length === 0) this.#scheduler.wake(this.#waiters[0]!);
      return;
    }
    for (let i = 0; i < this.#waiters.length && this.#wantsWrite[i] === false; i++) {
      this.#scheduler.wake(this.#waiters[i]!);
    }
  }
}

class DownTask extends StepTask<void> {
  readonly #sem: RwSem;
  readonly #write: boolean;

  constructor(sem: RwSem, write: boolean) {
    super();
    this.#sem = sem;
    this.#write = write;
  }

  next(): IteratorResult<Suspension, void> {
    return this.#write ? this.#sem.writeStep() : this.#sem.readStep();
  }
}
