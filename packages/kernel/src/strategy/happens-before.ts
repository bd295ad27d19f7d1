import type { AccessLog } from '../access-log.ts';
import { MOST_TASKS } from './task-set.ts';

const WIDTH = MOST_TASKS + 1;
const WRITES = 0;
const READS = 1;
const ENABLED = 2;

/**
 * Which steps of a run happen before which, as vector clocks: program order, the order of steps that touch one object
 * where one of them writes, and from a step to those of a task that it spawned or woke.
 */
export class HappensBefore {
  /** Task of each step. */
  readonly #tasks: number[] = [];
  /** By step and task: last step of the task that happens before or is the step; -1 for none. */
  #clocks = new Int32Array(64 * WIDTH);
  /** By task and task: the same for what the task does next. */
  readonly #now = new Int32Array(WIDTH * WIDTH);
  /** By task: the last step that spawned or woke it; -1 when that is taken into account. */
  readonly #enabledBy = new Int32Array(WIDTH);
  readonly #lastStep = new Int32Array(WIDTH);
  /** By object: last step that wrote it, and by object and task the last one that read it. */
  #writes = new Int32Array(64);
  #reads = new Int32Array(64 * WIDTH);
  #lastPoll = -1;
  /** By step: what it overwrote, as triples of array, index and value, for {@link rewind}. */
  readonly #journals: number[][] = [];
  /** By step: the task's step before it; the last poll before it, if it polled. */
  readonly #previous: number[] = [];
  readonly #pollBefore: number[] = [];
  /** One above the highest task number of the run. */
  #width = 1;
  /** Last steps of other tasks in conflict with the present one, latest first. */
  readonly #suspects: number[] = [];
  readonly #races: number[] = [];
  /** By task: its first step behind the one that {@link initials} looks at. */
  readonly #first = new Int32Array(WIDTH);

  constructor() {
    this.#clocks.fill(-1);
    this.#now.fill(-1);
    this.#enabledBy.fill(-1);
    this.#lastStep.fill(-1);
    this.#writes.fill(-1);
    this.#reads.fill(-1);
  }

  /** Forget all steps but the first `steps`, of which a new run is the continuation. */
  rewind(steps: number): void {
    for (let step = this.#tasks.length - 1; step >= steps; step--) {
      const journal = this.#journals[step]!;
      for (let i = journal.length - 3; i >= 0; i -= 3) {
        const array = journal[i]!;
        const target = array === WRITES ? this.#writes : array === READS ? this.#reads : this.#enabledBy;
        target[journal[i + 1]!] = journal[i + 2]!;
      }
      const task = this.#tasks[step]!;
      const base = task * WIDTH;
      const previous = this.#previous[step]!;
      this.#lastStep[task] = previous;
      if (previous < 0) this.#now.fill(-1, base, base + WIDTH);
      else copyClock(this.#clocks, previous * WIDTH, this.#now, base, this.#width);
      if (this.#lastPoll === step) this.#lastPoll = this.#pollBefore[step]!;
    }
    shorten(this.#tasks, steps);
  }

  /**
   * Take the next step in.
   *
   * @param task - who made it.
   * @param log - what it touched.
   * @returns the steps with which it races, latest first: steps of other tasks that touched the same objects and that
   * nothing else orders before it. Good until the next call.
   */
  step(task: number, log: AccessLog): readonly number[] {
    const step = this.#tasks.length;
    const base = task * WIDTH;
    const now = this.#now;
    if (task >= this.#width) this.#width = task + 1;
    const journal = (this.#journals[step] ??= []);
    shorten(journal, 0);
    this.#previous[step] = this.#lastStep[task]!;
    if (this.#enabledBy[task]! >= 0) {
      this.#join(base, this.#enabledBy[task]!);
      journal.push(ENABLED, task, this.#enabledBy[task]!);
      this.#enabledBy[task] = -1;
    }
    this.#findSuspects(task, log);
    shorten(this.#races, 0);
    for (const earlier of this.#suspects) {
      if (now[base + this.#tasks[earlier]!]! >= earlier) continue;
      this.#races.push(earlier);
      this.#join(base, earlier);
    }
    now[base + task] = step;
    this.#tasks.push(task);
    this.#lastStep[task] = step;
    if (this.#clocks.length < (step + 1) * WIDTH) this.#clocks = doubled(this.#clocks);
    copyClock(now, base, this.#clocks, step * WIDTH, this.#width);
    this.#note(task, step, log, journal);
    return this.#races;
  }

  /**
   * Of the steps from `earlier` to the last one that do not happen after `earlier`: the tasks whose first is preceded
   * by none of the others, as a bit set. An order in which these steps come before `earlier` begins with one of them.
   */
  initials(earlier: number): number {
    const tasks = this.#tasks;
    const clocks = this.#clocks;
    const first = this.#first;
    let seen = 1 << tasks[earlier]!;
    let initials = 0;
    for (let step = earlier + 1; step < tasks.length; step++) {
      const task = tasks[step]!;
      if ((seen & (1 << task)) !== 0) continue;
      const clock = step * WIDTH;
      let free = clocks[clock + tasks[earlier]!]! < earlier;
      for (let other = 1; free && other < this.#width; other++) {
        const known = (seen & (1 << other)) !== 0 && other !== tasks[earlier];
        free = !known || clocks[clock + other]! < first[other]!;
      }
      if (free) initials |= 1 << task;
      seen |= 1 << task;
      first[task] = step;
    }
    return initials;
  }

  #findSuspects(task: number, log: AccessLog): void {
    shorten(this.#suspects, 0);
    const width = this.#width;
    if (log.polled) for (let other = 1; other < width; other++) this.#suspect(task, this.#lastStep[other]!);
    this.#suspect(task, this.#lastPoll);
    for (let i = 0; i < log.length; i++) {
      const entry = log.entries[i]!;
      const object = entry >> 1;
      this.#reserve(object);
      this.#suspect(task, this.#writes[object]!);
      if ((entry & 1) === 0) continue;
      const reads = object * WIDTH;
      for (let other = 1; other < width; other++) this.#suspect(task, this.#reads[reads + other]!);
    }
  }

  #suspect(task: number, step: number): void {
    if (step < 0 || this.#tasks[step] === task) return;
    const suspects = this.#suspects;
    let at = suspects.length;
    while (at > 0 && suspects[at - 1]! < step) at--;
    if (at > 0 && suspects[at - 1] === step) return;
    suspects.push(step);
    for (let i = suspects.length - 1; i > at; i--) suspects[i] = suspects[i - 1]!;
    suspects[at] = step;
  }

  #note(task: number, step: number, log: AccessLog, journal: number[]): void {
    if (log.polled) {
      this.#pollBefore[step] = this.#lastPoll;
      this.#lastPoll = step;
    }
    for (let i = 0; i < log.length; i++) {
      const entry = log.entries[i]!;
      const object = entry >> 1;
      if ((entry & 1) === 1) {
        journal.push(WRITES, object, this.#writes[object]!);
        this.#writes[object] = step;
      } else {
        const at = object * WIDTH + task;
        journal.push(READS, at, this.#reads[at]!);
        this.#reads[at] = step;
      }
    }
    for (const enabled of log.enabled) {
      if (enabled >= WIDTH) continue;
      journal.push(ENABLED, enabled, this.#enabledBy[enabled]!);
      this.#enabledBy[enabled] = step;
    }
  }

  #join(base: number, step: number): void {
    const now = this.#now;
    const clocks = this.#clocks;
    const from = step * WIDTH;
    for (let i = 1; i < this.#width; i++) {
      const other = clocks[from + i]!;
      if (other > now[base + i]!) now[base + i] = other;
    }
  }

  #reserve(object: number): void {
    while (object >= this.#writes.length) {
      this.#writes = doubled(this.#writes);
      this.#reads = doubled(this.#reads);
    }
  }
}

/** Twice as long; what is new says that nothing happened. */
function doubled(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const grown = new Int32Array(2 * array.length).fill(-1);
  grown.set(array);
  return grown;
}

/** A typed array's `set` of a `subarray` makes an object; tasks are few. What lies beyond `width` was never written. */
function copyClock(from: Int32Array, source: number, to: Int32Array, target: number, width: number): void {
  for (let i = 0; i < width; i++) to[target + i] = from[source + i]!;
}

/** Setting `length` is a call into the runtime that gives the memory back; a few pops are quicker. */
function shorten(array: number[], length: number): void {
  while (array.length > length) array.pop();
}
