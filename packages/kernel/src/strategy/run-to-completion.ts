import type { SchedulerStrategy } from './strategy.ts';

/** Fast mode: first come, first served, no preemption points, time is a sum. */
export function runToCompletion(): SchedulerStrategy {
  return { name: 'run-to-completion', preemptive: false, timed: false, pick: () => 0 };
}
