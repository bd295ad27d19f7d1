import type { TaskHandle } from '../task-handle.ts';

/**
 * The order that schedules are deviations from: a task goes on for as long as it can, then the one that has waited
 * longest takes over; who sleeps goes last.
 */
export class DefaultOrder {
  #last: TaskHandle | null = null;

  /** Index of the default in `runnable`. */
  pick(runnable: readonly TaskHandle[]): number {
    const last = this.#last;
    let first = -1;
    for (let i = 0; i < runnable.length; i++) {
      if (runnable[i]!.state === 'sleeping') continue;
      if (runnable[i] === last) return i;
      if (first < 0) first = i;
    }
    return first < 0 ? 0 : first;
  }

  /** This task runs now. */
  ran(task: TaskHandle): void {
    this.#last = task;
  }
}
