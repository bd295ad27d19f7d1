import type { TaskHandle } from '../task-handle.ts';

/** Most tasks that an exhaustive search can tell apart: their numbers are bits of an integer. */
export const MOST_TASKS = 30;

/** The numbers of tasks as a bit set. */
export function maskOf(runnable: readonly TaskHandle[]): number {
  let mask = 0;
  for (let i = 0; i < runnable.length; i++) {
    const { id } = runnable[i]!;
    if (id > MOST_TASKS) tooMany(runnable[i]!);
    mask |= 1 << id;
  }
  return mask;
}

function tooMany({ id, name }: TaskHandle): never {
  throw new RangeError(`an exhaustive search takes up to ${MOST_TASKS} tasks, ${name} is number ${id}`);
}
