import type { TaskHandle } from './task-handle.ts';

/** No task can go on. The message says who waits for what, who holds it, and the cycle if there is one. */
export class DeadlockError extends Error {
  /** The stuck tasks, in order of creation. */
  readonly tasks: readonly TaskHandle[];
  /** Names of the tasks of a wait-for cycle in order, empty when somebody waits for an event nobody will send. */
  readonly cycle: readonly string[];

  constructor(tasks: readonly TaskHandle[]) {
    const cycle = findCycle(tasks);
    const circle = cycle.length > 0 ? `: ${[...cycle, cycle[0]].join(' -> ')}` : '';
    const lines = tasks.map((task) => describe(task, tasks));
    super(`deadlock of ${tasks.length} task${tasks.length === 1 ? '' : 's'}${circle}\n${lines.join('\n')}`);
    this.name = 'DeadlockError';
    this.tasks = tasks;
    this.cycle = cycle;
  }
}

function describe(task: TaskHandle, stuck: readonly TaskHandle[]): string {
  const owners = task.waitingFor?.owners(task) ?? [];
  const held = task.held.map((lock) => lock.label);
  const alive = new Set(stuck.map((t) => t.id));
  const names = owners.map((o) =>
    o.id === 0 || alive.has(o.id) ? o.name : `${o.name}, which does not run any more`,
  );
  return [
    `  ${task.name} waits for ${task.waitingFor?.label ?? 'nothing'}`,
    names.length > 0 ? ` (held by ${names.join(', ')})` : '',
    held.length > 0 ? `, holds ${held.join(', ')}` : '',
  ].join('');
}

/** Depth-first search of the wait-for graph, which has several edges where several readers hold a lock. */
function findCycle(tasks: readonly TaskHandle[]): string[] {
  const byId = new Map(tasks.map((task) => [task.id, task]));
  const finished = new Set<TaskHandle>();
  const path: TaskHandle[] = [];
  const visit = (task: TaskHandle): TaskHandle[] | null => {
    if (path.includes(task)) return path.slice(path.indexOf(task));
    if (finished.has(task)) return null;
    path.push(task);
    for (const owner of task.waitingFor?.owners(task) ?? []) {
      const next = byId.get(owner.id);
      const cycle = next === undefined ? null : visit(next);
      if (cycle !== null) return cycle;
    }
    path.pop();
    finished.add(task);
    return null;
  };
  for (const task of tasks) {
    const cycle = visit(task);
    if (cycle !== null) return cycle.map((t) => t.name);
  }
  return [];
}
