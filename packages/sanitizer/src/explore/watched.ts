import type { SchedulerStrategy, TaskHandle } from '@gpusvm/kernel';

/**
 * A strategy that calls `onState` before every step, with the task that goes next, and goes on as the given one does.
 *
 * @param onState - called with the step's number, counted from 0.
 * @param beforePick - called before it is decided who goes next.
 */
export function watched(
  strategy: SchedulerStrategy,
  onState: (step: number, next: TaskHandle) => void,
  beforePick: () => void = () => {},
): SchedulerStrategy {
  const { timeless = false, accesses } = strategy;
  let step = 0;
  const answer = strategy.choose?.bind(strategy);
  return {
    name: strategy.name,
    preemptive: true,
    timed: false,
    timeless,
    everyStep: true,
    ...(accesses === undefined ? {} : { accesses }),
    pick(runnable, choice) {
      beforePick();
      const ask = runnable.length > 1 || strategy.everyStep === true;
      const index = ask ? strategy.pick(runnable, choice) : 0;
      onState(step++, runnable[index]!);
      return index;
    },
    ...(answer === undefined ? {} : { choose: answer }),
  };
}
