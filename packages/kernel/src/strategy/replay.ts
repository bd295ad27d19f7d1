import type { TaskHandle } from '../task-handle.ts';
import { DefaultOrder } from './default-order.ts';
import { parseSchedule, type Schedule } from './schedule.ts';
import type { SchedulerStrategy } from './strategy.ts';

/**
 * Repeat a run from its schedule, byte for byte. Where the schedule does not fit the program any more (a task that
 * cannot go on, an alternative that does not exist) the default order goes on.
 *
 * @param schedule - as recorded, or as printed.
 * @param options - `timeless`: whether sleeps take any time, as they did when the schedule was made; default true.
 */
export function replay(
  schedule: Schedule | string,
  options: { readonly timeless?: boolean } = {},
): SchedulerStrategy {
  const { switches, choices } = typeof schedule === 'string' ? parseSchedule(schedule) : schedule;
  const order = new DefaultOrder();
  let step = 0;
  let nextSwitch = 0;
  let choice = 0;
  let nextChoice = 0;
  return {
    name: 'replay',
    preemptive: true,
    timed: false,
    timeless: options.timeless ?? true,
    everyStep: true,
    pick(runnable: readonly TaskHandle[]): number {
      let index = -1;
      if (nextSwitch < switches.length && switches[nextSwitch]!.step === step) {
        const { task } = switches[nextSwitch++]!;
        index = runnable.findIndex((handle) => handle.id === task);
      }
      step++;
      if (index < 0) index = order.pick(runnable);
      order.ran(runnable[index]!);
      return index;
    },
    choose(n: number): number {
      let value = 0;
      if (nextChoice < choices.length && choices[nextChoice]!.index === choice)
        value = choices[nextChoice++]!.value;
      choice++;
      return value < n ? value : 0;
    },
  };
}
