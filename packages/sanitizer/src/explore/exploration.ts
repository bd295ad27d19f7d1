import type { Machine, MachineOptions, Task } from '@gpusvm/kernel';

/** A property: null where it holds, else one sentence that says how it does not. */
export type Property<C> = (context: C) => string | null;

/** How far an exploration goes. */
export interface ExplorationBound {
  /** Runs at most; default 1,000,000. */
  readonly runs?: number;
  /** Steps of one run at most, set-up included; more is reported as a livelock. Default 5,000. */
  readonly steps?: number;
  /** Deviations from the default order at most, see `ExhaustiveOptions.deviations`; then nothing is left out. */
  readonly deviations?: number;
}

/** A small program whose every interleaving is wanted. */
export interface Exploration<C> {
  readonly machine?: Omit<MachineOptions, 'strategy'>;
  /** Make what the tasks share. May run tasks of its own; it must do the same each time. */
  setup(machine: Machine): C;
  /** The tasks that race, by name. */
  readonly tasks: Readonly<Record<string, (context: C) => Task<unknown>>>;
  /** What holds in every state between two steps of the tasks. */
  readonly invariants?: Readonly<Record<string, Property<C>>>;
  /** What holds when all tasks have ended. */
  readonly atEnd?: Readonly<Record<string, Property<C>>>;
  /**
   * Text of everything that the tasks share, for counting states and for leaving out orders of steps that do not
   * matter. Locks, wait queues and shared cells need not be in it. Without it no order is left out. Invariants are
   * looked at once in each state that it tells apart, taken together with where the tasks stand.
   */
  digest?(context: C): string;
  readonly bound?: ExplorationBound;
  /**
   * - `exhaustive`, the default: every interleaving, but for orders of independent steps.
   * - `states`: every state. A run is given up where it meets a state that was met before: same digest, and every task
   *   has come the same way, from suspension point to suspension point. Far fewer runs, and as good as `exhaustive` where
   *   what a task remembers of its past follows from its way and from the digest.
   * - `random`, `pct`: `runs` random interleavings, from seeds that count up from the machine's.
   */
  readonly search?: 'exhaustive' | 'states' | 'random' | 'pct';
  /** For `pct`: the depth; default 3. */
  readonly depth?: number;
}

/** What went wrong in a run. */
export interface ExplorationFailure {
  readonly kind: 'invariant' | 'end' | 'deadlock' | 'livelock' | 'exception';
  /** Name of the property, or of the exception. */
  readonly name: string;
  readonly message: string;
  /** A schedule that shows it, to be given to `replay`: the shortest that was found. */
  readonly schedule: string;
  /** No schedule with fewer deviations from the default order shows it. */
  readonly shortest: boolean;
  /** The run under that schedule, a line a step: task and where it stopped. */
  readonly steps: readonly string[];
}

/** What an exploration came to. */
export interface ExplorationResult {
  /**
   * Interleavings that were run to their end. With `states`: all there are, counted along the graph of states; infinity
   * where somebody can poll in a circle.
   */
  readonly interleavings: number;
  /** Runs given up because they would have repeated an interleaving, or gone on from a state that was met before. */
  readonly redundant: number;
  /** Scheduler steps of all runs. */
  readonly steps: number;
  /** Distinct states between steps, by digest and by where each task stands; distinct end states, by digest. */
  readonly states: number;
  readonly ends: number;
  /** Every interleaving was explored, or stood for by an equivalent one. */
  readonly exhaustive: boolean;
  /** The first failure; the exploration stops there. */
  readonly failure: ExplorationFailure | null;
}
