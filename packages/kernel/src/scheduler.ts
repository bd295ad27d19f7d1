import type { Choice } from './choice.ts';
import { DeadlockError } from './deadlock.ts';
import type { SchedulerStrategy } from './scheduler-strategy.ts';
import type { Suspension, Task, TaskRef, Waitable } from './task.ts';
import { TimerHeap } from './timer-heap.ts';
import type { VirtualClock } from './virtual-clock.ts';

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
  /** @internal Order among sleepers of the same instant. */
  wakeOrder = 0;
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
    else removeAt(held, held.lastIndexOf(lock));
  }
}

/**
 * Deterministic cooperative scheduler. A task runs until it suspends; who goes next is the strategy's decision,
 * taken with the machine's seeded choice only.
 */
export class Scheduler {
  /** The running task, or null outside of any. */
  current: TaskHandle | null = null;
  readonly strategy: SchedulerStrategy;
  /** Whether tasks yield at their preemption points; false keeps the fast path free of them. */
  readonly preemptive: boolean;
  /** Whether charged time passes for the charged task only, see {@link SchedulerStrategy.timed}. */
  readonly timed: boolean;
  /** Steps run so far: a task's way from one suspension to the next. */
  steps = 0;
  readonly #clock: VirtualClock;
  readonly #choice: Choice;
  readonly #runnable: TaskHandle[] = [];
  readonly #sleeping = new TimerHeap();
  readonly #live = new Set<TaskHandle>();
  #nextId = 1;
  #looping = false;
  /** Timed mode: instant at which the running step began; no task is behind it. */
  #frontNs = 0;
  /** Timed mode: latest instant any task has reached. */
  #latestNs = 0;

  constructor(strategy: SchedulerStrategy, clock: VirtualClock, choice: Choice) {
    this.strategy = strategy;
    this.preemptive = strategy.preemptive;
    this.timed = strategy.timed;
    this.#clock = clock;
    this.#choice = choice;
  }

  /**
   * Hand a task to the scheduler (kthread_run); it runs when somebody calls {@link run} or {@link drain}. In timed
   * mode it starts at the spawning task's instant. Does not sleep.
   *
   * @param name - name in reports; need not be unique.
   */
  spawn<T>(task: Task<T>, name: string): TaskHandle<T> {
    const handle = new TaskHandle<T>(this.#nextId++, name, task);
    this.#live.add(handle);
    this.#readyAt(handle, this.#clock.nowNs);
    return handle;
  }

  /**
   * Run one task to its end, and every other task until nobody can go on. Tasks that then still wait, for instance
   * for work, are no error as long as `task` has ended.
   *
   * @returns what the task returns.
   * @throws what the task throws, or what another task throws meanwhile; {@link DeadlockError} when the task can
   * never go on; Error when called inside a task.
   */
  run<T>(task: Task<T>, name: string): T {
    this.#assertIdle(`run(${name})`);
    const handle = this.spawn(task, name);
    this.#loop(handle);
    if (handle.state === 'failed') throw handle.error;
    if (!handle.ended) throw new DeadlockError(this.tasks());
    return handle.result as T;
  }

  /**
   * Run until no task is runnable or sleeping.
   *
   * @throws the error of the first task that fails; {@link DeadlockError} when blocked tasks remain; Error when
   * called inside a task.
   */
  drain(): void {
    this.#assertIdle('drain()');
    this.#loop(null);
    if (this.#live.size > 0) throw new DeadlockError(this.tasks());
  }

  /** Tasks that have not ended, in order of creation. */
  tasks(): TaskHandle[] {
    return [...this.#live];
  }

  /**
   * Make a blocked task runnable; nothing happens when it is not blocked (wake_up_process). Called by the object it
   * waits for, which keeps a record of the event, so that a task that was not blocked yet finds it. Does not sleep.
   */
  wake(handle: TaskHandle): void {
    if (handle.state !== 'blocked') return;
    handle.waitingFor = null;
    const nowNs = this.#clock.nowNs;
    this.#readyAt(handle, handle.wakeAtNs > nowNs ? handle.wakeAtNs : nowNs);
  }

  /**
   * Charge virtual time to the running task; others see it pass at once, or in timed mode not at all.
   *
   * @param ns - span, finite and not negative.
   */
  charge(ns: number): void {
    this.#clock.advance(ns);
  }

  #assertIdle(what: string): void {
    if (this.current !== null)
      throw new Error(`${what} inside task ${this.current.name}: call it with yield*`);
    if (this.#looping) throw new Error(`${what} while the scheduler runs: hand the task to spawn()`);
  }

  /** Run until nobody can go on or `until` fails. */
  #loop(until: TaskHandle | null): void {
    this.#looping = true;
    try {
      for (;;) {
        if (this.#sleeping.nextNs <= this.#clock.nowNs) this.#wakeDue();
        if (this.#runnable.length === 0 && !this.#wakeEarliest()) return;
        const handle = this.#takeNext();
        this.#step(handle);
        if (handle.state === 'failed') {
          if (handle === until) return;
          throw handle.error;
        }
      }
    } finally {
      this.#looping = false;
      if (this.timed) this.#clock.advanceTo(this.#latestNs);
    }
  }

  #takeNext(): TaskHandle {
    const runnable = this.#runnable;
    if (runnable.length === 1) return runnable.pop()!;
    const index = this.strategy.pick(runnable, this.#choice);
    const handle = runnable[index];
    if (handle === undefined) {
      throw new RangeError(`strategy ${this.strategy.name} picked task ${index} of ${runnable.length}`);
    }
    if (index === 0) runnable.shift();
    else removeAt(runnable, index);
    return handle;
  }

  #step(handle: TaskHandle): void {
    const startNs = this.#clock.nowNs;
    this.#frontNs = startNs;
    this.current = handle;
    this.steps++;
    try {
      const step = handle.task.next();
      if (step.done === true) {
        handle.result = step.value;
        handle.state = 'done';
        this.#live.delete(handle);
      } else {
        this.#suspend(handle, step.value);
      }
    } catch (error) {
      handle.error = error;
      handle.state = 'failed';
      this.#live.delete(handle);
    }
    this.current = null;
    if (this.timed) {
      if (this.#clock.nowNs > this.#latestNs) this.#latestNs = this.#clock.nowNs;
      this.#clock.rewindTo(startNs);
    }
  }

  #suspend(handle: TaskHandle, suspension: Suspension): void {
    const nowNs = this.#clock.nowNs;
    if (suspension.kind === 'block') {
      handle.state = 'blocked';
      handle.waitingFor = suspension.on;
      handle.wakeAtNs = nowNs;
    } else if (suspension.kind === 'sleep') {
      if (!(suspension.ns >= 0 && suspension.ns < Number.POSITIVE_INFINITY)) {
        throw new RangeError(`task ${handle.name} cannot sleep for ${suspension.ns} ns`);
      }
      this.#sleepUntil(handle, nowNs + suspension.ns);
    } else {
      this.#readyAt(handle, nowNs);
    }
  }

  /** Let a task go on at an instant; only in timed mode may that be later than now for everybody else. */
  #readyAt(handle: TaskHandle, atNs: number): void {
    if (this.timed && this.current !== null && atNs > this.#frontNs) {
      this.#sleepUntil(handle, atNs);
    } else {
      handle.state = 'runnable';
      this.#runnable.push(handle);
    }
  }

  #sleepUntil(handle: TaskHandle, atNs: number): void {
    handle.state = 'sleeping';
    handle.wakeAtNs = atNs;
    this.#sleeping.push(handle);
  }

  /** Move time to the earliest sleeper's instant and make all due sleepers runnable. */
  #wakeEarliest(): boolean {
    const nextNs = this.#sleeping.nextNs;
    if (nextNs === Number.POSITIVE_INFINITY) return false;
    this.#clock.advanceTo(nextNs);
    this.#wakeDue();
    return true;
  }

  #wakeDue(): void {
    while (this.#sleeping.nextNs <= this.#clock.nowNs) {
      const handle = this.#sleeping.pop();
      handle.state = 'runnable';
      this.#runnable.push(handle);
    }
  }
}

/** Array removal that keeps the order and, unlike splice, allocates nothing. */
function removeAt(list: unknown[], index: number): void {
  for (let i = index + 1; i < list.length; i++) list[i - 1] = list[i];
  list.pop();
}
