import type { AccessLog } from '../access-log.ts';
import type { Choice } from '../choice.ts';
import type { TaskHandle } from '../task-handle.ts';

/** Decides which runnable task goes next. One object serves one machine: some keep what they have decided. */
export interface SchedulerStrategy {
  readonly name: string;
  /** Tasks suspend at their preemption points. */
  readonly preemptive: boolean;
  /**
   * Charged time passes for the charged task only, so that tasks contend on the virtual clock: each has its own time,
   * the one that is furthest behind goes next, and who takes a lock or sees an event is never earlier than the one
   * who released or sent it.
   */
  readonly timed: boolean;
  /**
   * How long a sleep takes is open: a sleeping task may go next at once, so that every order of device latencies can
   * be had. A task that sleeps to poll may not before somebody else has done something, unless nobody else can go.
   */
  readonly timeless?: boolean;
  /** `pick` is asked before every step, also where only one task can run. */
  readonly everyStep?: boolean;
  /** Where the scheduler and its locks note what a step touches; for strategies that reduce by independence. */
  readonly accesses?: AccessLog;
  /**
   * Decide.
   *
   * @param runnable - at least two tasks, or one with `everyStep`, in the order in which they became runnable; in
   * timed mode those of the present instant only.
   * @param choice - the machine's choice, the only randomness allowed.
   * @returns an index into `runnable`.
   */
  pick(runnable: readonly TaskHandle[], choice: Choice): number;
  /** Answers `machine.choose(n)`, `n` at least 2, for which `draw` would ask the seed. */
  choose?(n: number, draw: (n: number) => number): number;
}
