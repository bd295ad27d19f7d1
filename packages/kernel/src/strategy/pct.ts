import type { Choice } from '../choice.ts';
import type { TaskHandle } from '../task-handle.ts';
import type { SchedulerStrategy } from './strategy.ts';

/** How {@link pct} searches. */
export interface PctOptions {
  /** Depth of the bugs to find: how many pairs of steps have to come in a certain order; at least 1. */
  readonly depth: number;
  /** Steps that a run takes, about; at least 1. A guess that is too high costs probability, one too low coverage. */
  readonly steps: number;
}

/**
 * Probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi, Nagarakatte: A randomized scheduler with
 * probabilistic guarantees of finding bugs, ASPLOS 2010). Every task has a random priority, the highest runs, and at
 * `depth - 1` random steps the running task falls below all others.
 *
 * Guarantee (their theorem 1): a run with n tasks and at most k = `steps` steps meets a bug of depth d with probability
 * at least 1 / (n * k^(d-1)). It is about orders of steps: what tasks draw from `machine.choose`, and how long a task
 * that polls is kept waiting (see {@link SchedulerStrategy.timeless}), is outside of it.
 *
 * @throws RangeError for a depth or a number of steps below 1.
 */
export function pct(options: PctOptions): SchedulerStrategy {
  const { depth, steps } = options;
  if (!Number.isInteger(depth) || depth < 1) throw new RangeError(`a bug has depth 1 or more, got ${depth}`);
  if (!Number.isInteger(steps) || steps < 1) throw new RangeError(`a run has steps, got ${steps}`);
  return new Pct(depth, steps);
}

class Pct implements SchedulerStrategy {
  readonly name = 'pct';
  readonly preemptive = true;
  readonly timed = false;
  readonly timeless = true;
  readonly everyStep = true;
  readonly #depth: number;
  readonly #steps: number;
  /** Tasks with the priority they were born with, highest first. */
  readonly #high: number[] = [];
  /** Tasks that fell, by the change point that did it: a later point outranks an earlier one, as in the paper. */
  readonly #fallen: number[];
  readonly #seen = new Set<number>();
  readonly #changeAt: number[] = [];
  #step = 0;

  constructor(depth: number, steps: number) {
    this.#depth = depth;
    this.#steps = steps;
    this.#fallen = Array<number>(depth).fill(-1);
  }

  pick(runnable: readonly TaskHandle[], choice: Choice): number {
    if (this.#step++ === 0) {
      for (let i = 1; i < this.#depth; i++) this.#changeAt.push(1 + choice.choose(this.#steps));
    }
    for (const task of runnable) {
      if (this.#seen.has(task.id)) continue;
      this.#seen.add(task.id);
      this.#high.splice(choice.choose(this.#high.length + 1), 0, task.id);
    }
    let index = this.#highest(runnable);
    for (let point = 0; point < this.#changeAt.length; point++) {
      if (this.#changeAt[point] !== this.#step) continue;
      this.#fall(runnable[index]!.id, point);
      index = this.#highest(runnable);
    }
    return index;
  }

  #highest(runnable: readonly TaskHandle[]): number {
    let best = 0;
    let bestRank = Number.POSITIVE_INFINITY;
    for (let i = 0; i < runnable.length; i++) {
      const rank = this.#rank(runnable[i]!.id);
      if (rank < bestRank) {
        best = i;
        bestRank = rank;
      }
    }
    return best;
  }

  /** 0 is the highest priority. */
  #rank(id: number): number {
    const high = this.#high.indexOf(id);
    if (high >= 0) return high;
    return this.#high.length + this.#depth - this.#fallen.lastIndexOf(id);
  }

  #fall(id: number, point: number): void {
    const high = this.#high.indexOf(id);
    if (high >= 0) this.#high.splice(high, 1);
    for (let i = 0; i < this.#fallen.length; i++) if (this.#fallen[i] === id) this.#fallen[i] = -1;
    this.#fallen[point] = id;
  }
}
