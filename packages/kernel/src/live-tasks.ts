import type { TaskHandle } from './task-handle.ts';

/** Most tasks that have ended before the list is tidied. */
const TIDY = 32;

/**
 * Tasks that have not ended, in order of creation. An array, tidied now and then: a Set would have to hash every task, which
 * takes as long as a step.
 */
export class LiveTasks {
  readonly #tasks: TaskHandle[] = [];
  /** Tasks that have not ended. */
  size = 0;

  add(task: TaskHandle): void {
    this.#tasks.push(task);
    this.size++;
  }

  /** One of the tasks has ended, as its state says. */
  ended(): void {
    this.size--;
    const tasks = this.#tasks;
    while (tasks.length > 0 && tasks[tasks.length - 1]!.ended) tasks.pop();
    if (tasks.length >= TIDY && this.size * 2 < tasks.length) this.#tidy();
  }

  /** In order of creation. */
  all(): TaskHandle[] {
    return this.#tasks.filter((task) => !task.ended);
  }

  #tidy(): void {
    const tasks = this.#tasks;
    let kept = 0;
    for (const task of tasks) if (!task.ended) tasks[kept++] = task;
    tasks.length = kept;
  }
}
