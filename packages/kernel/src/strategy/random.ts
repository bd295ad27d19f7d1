import type { SchedulerStrategy } from './strategy.ts';

/** Random walk over all interleavings at preemption points, from the machine's seed. Sleeps take their time. */
export function random(): SchedulerStrategy {
  return {
    name: 'random',
    preemptive: true,
    timed: false,
    pick: (runnable, choice) => choice.choose(runnable.length),
  };
}
