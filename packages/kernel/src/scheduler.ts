import type { AccessLog } from './access-log.ts';
import type { Choice } from './choice.ts';
import { DeadlockError } from './deadlock.ts';
import type { SchedulerStrategy } from './strategy/strategy.ts';
import type { Suspension, Task } from './task.ts';
import { LiveTasks } from './live-tasks.ts';
import { TaskHandle } from './task-handle.ts';
import { TimerHeap } from './timer-heap.ts';
import type { VirtualClock } from './virtual-clock.ts';

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
  /** See {@link SchedulerStrategy.timed}. */
  readonly timed: boolean;
  /** See {@link SchedulerStrategy.timeless}. */
  readonly timeless: boolean;
  /** Where shared objects note that a step touches them; null when nobody wants to know. */
  readonly accesses: AccessLog | null;
  /** Steps run so far: a task's way from one suspension to the next. */
  steps = 0;
  readonly #everyStep: boolean;
  readonly #clock: VirtualClock;
  readonly #choice: Choice;
  readonly #runnable: TaskHandle[] = [];
  readonly #sleeping = new TimerHeap();
  readonly #live = new LiveTasks();
  /** Timeless mode: tasks that poll and wait for somebody to do something. */
  readonly #pollers: TaskHandle[] = [];
  #nextId = 1;
  #nextObject = 1;
  /** The order of spawning gives tasks their numbers, so that two spawns depend on one another. */
  readonly #numbering = this.newObject();
  #looping = false;
  /** Timed mode: instant at which the running step began; no task is behind it. */
  #frontNs = 0;
  /** Timed mode: latest instant any task has reached. */
  #latestNs = 0;

  constructor(strategy: SchedulerStrategy, clock: VirtualClock, choice: Choice) {
    this.strategy = strategy;
    this.preemptive = strategy.preemptive;
    this.timed = strategy.timed;
    this.timeless = strategy.timeless ?? false;
    this.accesses = strategy.accesses ?? null;
    this.#everyStep = strategy.everyStep ?? false;
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
    this.accesses?.enabled.push(handle.id);
    this.accesses?.write(this.#numbering);
    this.#readyAt(handle, this.#clock.nowNs);
    return handle;
  }

  /**
   * Number of a shared object in {@link accesses}; the same in every run for what is made before tasks run.
   */
  newObject(): number {
    return this.#nextObject++;
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
    return this.#live.all();
  }

  /**
   * Make a blocked task runnable; nothing happens when it is not blocked (wake_up_process). Called by the object it
   * waits for, which keeps a record of the event, so that a task that was not blocked yet finds it. Does not sleep.
   */
  wake(handle: TaskHandle): void {
    if (handle.state !== 'blocked') return;
    handle.waitingFor = null;
    this.accesses?.enabled.push(handle.id);
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
        if (this.#runnable.length === 0 && !this.#pollAgain() && !this.#wakeEarliest()) return;
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
    if (runnable.length === 1 && !this.#everyStep) return runnable.pop()!;
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
    const polled = handle.polls;
    if (this.accesses !== null) this.accesses.running = true;
    if (this.timeless) this.#resumeAnyTime(handle);
    try {
      const step = handle.task.next();
      if (step.done === true) {
        handle.result = step.value;
        handle.state = 'done';
        this.#live.ended();
      } else {
        this.#suspend(handle, step.value);
      }
    } catch (error) {
      handle.error = error;
      handle.state = 'failed';
      this.#live.ended();
    }
    this.current = null;
    if (this.accesses !== null) this.accesses.running = false;
    // A poll that found nothing is nothing to those who poll too.
    if (this.#pollers.length > 0 && !(polled && handle.polls)) this.#releasePollers(handle);
    if (this.timed) {
      if (this.#clock.nowNs > this.#latestNs) this.#latestNs = this.#clock.nowNs;
      this.#clock.rewindTo(startNs);
    }
  }

  #suspend(handle: TaskHandle, suspension: Suspension): void {
    const nowNs = this.#clock.nowNs;
    if (suspension.kind === 'block') {
      handle.sleeps++;
      handle.at = 'block';
      handle.state = 'blocked';
      handle.waitingFor = suspension.on;
      handle.wakeAtNs = nowNs;
    } else if (suspension.kind === 'sleep') {
      handle.sleeps++;
      handle.at = 'sleep';
      if (!(suspension.ns >= 0 && suspension.ns < Number.POSITIVE_INFINITY)) {
        throw new RangeError(`task ${handle.name} cannot sleep for ${suspension.ns} ns`);
      }
      if (this.timeless) this.#sleepAnyTime(handle, nowNs + suspension.ns, suspension.poll === true);
      else this.#sleepUntil(handle, nowNs + suspension.ns);
    } else {
      handle.at = suspension.name;
      this.#readyAt(handle, nowNs);
    }
  }

  /** Timeless mode: the end of the sleep is a matter of who is picked. */
  #sleepAnyTime(handle: TaskHandle, atNs: number, polls: boolean): void {
    handle.state = 'sleeping';
    handle.wakeAtNs = atNs;
    handle.polls = polls;
    if (this.accesses !== null && polls) this.accesses.polled = true;
    (polls ? this.#pollers : this.#runnable).push(handle);
  }

  /** Timeless mode: no sleep is shorter than it says. */
  #resumeAnyTime(handle: TaskHandle): void {
    if (handle.state !== 'sleeping') return;
    handle.state = 'runnable';
    if (this.accesses !== null && handle.polls) this.accesses.polled = true;
    handle.polls = false;
    this.#clock.advanceTo(handle.wakeAtNs);
  }

  /** Everybody who polls, but for the task that has just run, may look again. */
  #releasePollers(except: TaskHandle | null): void {
    const pollers = this.#pollers;
    let kept = 0;
    for (const handle of pollers) {
      if (handle === except) pollers[kept++] = handle;
      else this.#runnable.push(handle);
    }
    pollers.length = kept;
  }

  /** Nobody can go on but those who poll. */
  #pollAgain(): boolean {
    this.#releasePollers(null);
    return this.#runnable.length > 0;
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
