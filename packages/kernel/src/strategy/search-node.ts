import { MOST_TASKS } from './task-set.ts';

/** The steps that a task was seen to take from a node: everything they touched, over all choices inside. */
export interface Footprint {
  /** As in `AccessLog.entries`. */
  readonly entries: Int32Array;
  readonly polled: boolean;
}

/** One decision of the scheduler on the path of the search; sets of tasks are bit sets of their numbers. */
export class SearchNode {
  /** Tasks that could go on. */
  enabled = 0;
  /** The default order's task. */
  byDefault = 0;
  /** The task that goes on in this run. */
  task = 0;
  /** Tasks whose every step from here was explored. */
  done = 0;
  /** Tasks that have to be tried from here. */
  wanted = 0;
  /** Tasks that need not be tried: what they would do was explored before the steps that led here, in the other order. */
  asleep = 0;
  /** Deviations from the default order up to here, this decision excluded. */
  deviations = 0;
  /** Digest of what tasks share undeclared. */
  digest: number | string = 0;
  /** Footprints of the tasks in `asleep` and `done`. */
  readonly footprints: (Footprint | null)[] = Array<Footprint | null>(MOST_TASKS + 1).fill(null);
  /** Answers to `choose` during the step, and how many alternatives each had. */
  readonly values: number[] = [];
  readonly counts: number[] = [];
  /** What the task's step touched so far, over the choices tried. */
  readonly #touched: number[] = [];
  #polled = false;

  /** Begin at a place where these tasks can go on. */
  reset(enabled: number, byDefault: number): void {
    this.enabled = enabled;
    this.byDefault = byDefault;
    this.done = 0;
    this.wanted = 0;
    this.asleep = 0;
    this.deviations = 0;
    if (this.values.length > 0) {
      this.values.length = 0;
      this.counts.length = 0;
    }
  }

  /** Let a task go on. */
  take(task: number): void {
    this.task = task;
    this.wanted |= 1 << task;
    if (this.#touched.length > 0) this.#touched.length = 0;
    this.#polled = false;
  }

  /** The step is over: remember what it touched. */
  touched(entries: Int32Array, length: number, polled: boolean): void {
    for (let i = 0; i < length; i++) {
      if (!this.#touched.includes(entries[i]!)) this.#touched.push(entries[i]!);
    }
    this.#polled ||= polled;
  }

  /** Go to the next answers inside the step; false when all were tried, and then none is left. */
  nextValues(most: number): boolean {
    const { values, counts } = this;
    while (values.length > 0) {
      const last = values.length - 1;
      const value = values[last]! + 1;
      if (value < counts[last]! && this.deviations + this.#others(last) < most) {
        values[last] = value;
        return true;
      }
      values.pop();
      counts.pop();
    }
    return false;
  }

  /** The task is explored: let the next one go on. False when there is none. */
  nextTask(): boolean {
    this.done |= 1 << this.task;
    const left = this.wanted & ~this.done & ~this.asleep;
    if (left === 0) return false;
    this.footprints[this.task] = { entries: Int32Array.from(this.#touched), polled: this.#polled };
    this.take(31 - Math.clz32(left & -left));
    return true;
  }

  /** Deviations of the path behind this decision. */
  get deviationsAfter(): number {
    return this.deviations + this.#others(this.values.length);
  }

  /** Deviations of the decision itself and of the first answers. */
  #others(answers: number): number {
    let count = this.task === this.byDefault ? 0 : 1;
    for (let i = 0; i < answers; i++) if (this.values[i] !== 0) count++;
    return count;
  }
}
