import type { SchedulerStrategy } from './strategy.ts';

/**
 * Simulated time: several tasks contend, ordered by the instant at which each may go on. As many processors as there
 * are tasks; a loop that spins without charging time never ends.
 */
export function timed(): SchedulerStrategy {
  return { name: 'timed', preemptive: true, timed: true, pick: () => 0 };
}
