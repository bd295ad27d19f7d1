import { Choice, type Decide } from './choice.ts';
import { Counters, type CounterGroup } from './counters.ts';
import { FaultInjection } from './fault-injection.ts';
import { KERNEL_PROFILES, type KernelProfile, type KernelProfileName } from './kernel-profile.ts';
import { Ledger } from './ledger.ts';
import { Scheduler } from './scheduler.ts';
import { TaskHandle } from './task-handle.ts';
import { runToCompletion } from './strategy/run-to-completion.ts';
import type { SchedulerStrategy } from './strategy/strategy.ts';
import { done, type Task } from './task.ts';
import { defineTracepoint, TraceBus, type Tracepoint, type TracepointDef } from './tracepoint.ts';
import { VirtualClock } from './virtual-clock.ts';

/** A kernel warning: the model goes on, as the kernel does, but the warning is counted and traced. */
export interface WarnEvent {
  /** Where, as `function: condition`. */
  readonly site: string;
  readonly message: string;
}

/** A kernel warning was raised, see {@link Machine.warn}. Counted as `machine.warn` whether anybody listens or not. */
export const WARN: TracepointDef<WarnEvent> = defineTracepoint<WarnEvent>('warn');

/** How a machine is made. */
export interface MachineOptions {
  /** Seed of every choice; default 1. */
  readonly seed?: number;
  /** Kernel to model; default `linux-7.3`. */
  readonly profile?: KernelProfileName | KernelProfile;
  /** Scheduling strategy; default run to completion. */
  readonly strategy?: SchedulerStrategy;
  /** Virtual CPUs; default 1. */
  readonly cpus?: number;
}

/**
 * The root of all state: two machines in one process never see each other. Layers take the machine in their
 * constructors and keep their tracepoints, counters and fault sites in fields.
 */
export class Machine {
  readonly profile: KernelProfile;
  readonly cpus: number;
  readonly choice: Choice;
  readonly clock: VirtualClock = new VirtualClock();
  readonly counters: Counters = new Counters();
  readonly trace: TraceBus = new TraceBus();
  readonly faultInjection: FaultInjection;
  readonly ledger: Ledger = new Ledger();
  readonly scheduler: Scheduler;
  readonly #warn: Tracepoint<WarnEvent>;
  readonly #warnings: CounterGroup<'warn'>;
  #warnedOnce: Set<string> | null = null;
  /** Owner of locks that are taken outside of any task, for instance by set-up code of a test. */
  readonly #outside: TaskHandle = new TaskHandle(0, 'outside of any task', done(undefined));

  constructor(options: MachineOptions = {}) {
    const { profile = 'linux-7.3', seed = 1, cpus = 1, strategy = runToCompletion() } = options;
    this.profile = typeof profile === 'string' ? profileByName(profile) : profile;
    if (!Number.isInteger(cpus) || cpus < 1) {
      throw new RangeError(`a machine needs at least one CPU, got ${cpus}`);
    }
    this.cpus = cpus;
    const decide: Decide | null =
      strategy.choose === undefined ? null : (n, draw) => strategy.choose!(n, draw);
    this.choice = new Choice(seed, decide);
    this.scheduler = new Scheduler(strategy, this.clock, this.choice);
    this.faultInjection = new FaultInjection(this.choice, this.scheduler);
    this.#warn = this.trace.point(WARN);
    this.#warnings = this.counters.group('machine', ['warn']);
    this.ledger.register(() => {
      const tasks = this.scheduler.tasks().filter((task) => task !== this.scheduler.current);
      return [{ kind: 'task', count: tasks.length, detail: tasks.map((t) => t.name).join(', ') }];
    });
  }

  /** Run one task to completion, and what it set in motion. See {@link Scheduler.run}. */
  run<T>(task: Task<T>, name = 'main'): T {
    return this.scheduler.run(task, name);
  }

  /** Hand a task to the scheduler. See {@link Scheduler.spawn}. */
  spawn<T>(task: Task<T>, name: string): TaskHandle<T> {
    return this.scheduler.spawn(task, name);
  }

  /** Run until nothing is runnable or sleeping. */
  drain(): void {
    this.scheduler.drain();
  }

  /** The running task, or a stand-in for code outside of any. */
  currentTask(): TaskHandle {
    return this.scheduler.current ?? this.#outside;
  }

  /** One of `n` alternatives from the machine's seed. */
  choose(n: number): number {
    return this.choice.choose(n);
  }

  /** WARN_ON: count and trace a kernel warning. */
  warn(site: string, message: string): void {
    this.#warnings.values[0]!++;
    if (this.#warn.enabled) this.#warn.emit({ site, message });
  }

  /** WARN_ON_ONCE: as {@link warn}, the first time per site. */
  warnOnce(site: string, message: string): void {
    this.#warnedOnce ??= new Set();
    if (this.#warnedOnce.has(site)) return;
    this.#warnedOnce.add(site);
    this.warn(site, message);
  }

  /** Kernel warnings so far. */
  get warnings(): number {
    return this.#warnings.values[0]!;
  }
}

/** The name may come from a command line, so that the type says too much. */
function profileByName(name: string): KernelProfile {
  if (Object.hasOwn(KERNEL_PROFILES, name)) return KERNEL_PROFILES[name as KernelProfileName];
  throw new RangeError(
    `unknown kernel profile ${name}: use one of ${Object.keys(KERNEL_PROFILES).join(', ')}`,
  );
}
