import type { SchedulerStrategy } from '@gpusvm/kernel';

/**
 * Run the task called `first` for `turns` turns, then `intruder` for as long as it can run, then the rest. With every
 * number of turns the intruder meets every place where the first task can be interrupted.
 */
export function intrudeAfter(
  first: string,
  intruder: string,
  turns: number,
): SchedulerStrategy & { used: boolean } {
  let taken = 0;
  const strategy = {
    name: `intrude after ${turns}`,
    preemptive: true,
    timed: false,
    /** The intruder had its turn while the first task was still there. */
    used: false,
    pick(runnable: readonly { readonly name: string }[]): number {
      const own = runnable.findIndex((task) => task.name === first);
      const other = runnable.findIndex((task) => task.name === intruder);
      if (own >= 0 && taken < turns) {
        taken++;
        return own;
      }
      if (other >= 0) {
        if (own >= 0) strategy.used = true;
        return other;
      }
      return 0;
    },
  };
  return strategy;
}
