/** How an `ExhaustiveSearch` searches. */
export interface ExhaustiveOptions {
  /**
   * Whether schedules are left out that differ from an explored one only in the order of independent steps; default
   * true. Cannot be combined with `deviations`: a bound cuts the very runs that stand for others.
   */
  readonly reduce?: boolean;
  /**
   * What tasks share beside locks, wait queues, shared cells and other objects that note their accesses:
   * `nothing`, or `anything`, so that every step depends on every other (the default), or a function that returns a
   * digest of all of it, so that two steps are independent if neither changes the digest.
   */
  readonly undeclared?: 'nothing' | 'anything' | (() => number | string);
  /** Steps of one run at most; a longer run is cut off and counted in `cut`. Default 10,000. */
  readonly steps?: number;
  /** Deviations from the default order at most (switches and choices that are not 0); default any number. */
  readonly deviations?: number;
  /**
   * A key of the present state that also tells what every task is about to do: a run is given up where it meets a key
   * that was met before, because everything that can follow was or will be explored from there. As good as the key.
   * Nothing else is left out then (`reduce` is false). `step` is the number of the step that comes next.
   */
  readonly merge?: (step: number) => string;
  /** Called in every state that was not passed before on the same path, before the step that leaves it. */
  readonly onState?: () => void;
}

/** How a run of a search ended: at the end of the program, or because it would repeat another, or at the bound. */
export type RunEnd = 'complete' | 'redundant' | 'cut';
