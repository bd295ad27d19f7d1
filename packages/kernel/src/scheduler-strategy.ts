import type { Choice } from './choice.ts';
import type { TaskHandle } from './scheduler.ts';

/** Decides which runnable task goes next. */
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
   * Decide.
   *
   * @param runnable - at least two tasks, in the order in which they became runnable; in timed mode those of the
   * present instant only.
   * @param choice - the machine's choice, the only randomness allowed.
   * @returns an index into `runnable`.
   */
  pick(runnable: readonly TaskHandle[], choice: Choice): number;
}

/** Fast mode: first come, first served, no preemption points, time is a sum. */
export function runToCompletion(): SchedulerStrategy {
  return { name: 'run-to-completion', preemptive: false, timed: false, pick: () => 0 };
}

/**
 * Simulated time: several tasks contend, ordered by the instant at which each may go on. As many processors as there
 * are tasks; a loop that spins without charging time never ends.
 */
export function timed(): SchedulerStrategy {
  return { name: 'timed', preemptive: true, timed: true, pick: () => 0 };
}

/** Random walk over all interleavings at preemption points, from the machine's seed. */
export function random(): SchedulerStrategy {
  return {
    name: 'random',
    preemptive: true,
    timed: false,
    pick: (runnable, choice) => choice.choose(runnable.length),
  };
}
