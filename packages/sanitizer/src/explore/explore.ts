import {
  ExhaustiveSearch,
  parseSchedule,
  pct,
  random,
  recorded,
  replay,
  type Schedule,
  type SchedulerStrategy,
  scheduleText,
  shrinkSchedule,
  type TaskHandle,
} from '@gpusvm/kernel';
import { ExploredRun, type Fault, PreparedProgram, Ways } from './explored-run.ts';
import type { Exploration, ExplorationFailure, ExplorationResult } from './exploration.ts';
import { foldSteps } from './fold-steps.ts';
import { StateGraph } from './state-graph.ts';
import { watched } from './watched.ts';

const RUNS = 1_000_000;
const STEPS = 5_000;
const SHRINK_RUNS = 20_000;

/** Thrown when a run has reached the bound on its steps. */
const TOO_LONG = new Error('bound on steps');

/**
 * Run a small program under every interleaving at its preemption points, every answer to `machine.choose` included, and
 * check its invariants in every state. Stops at the first failure and finds the shortest schedule that shows it.
 * Failures are broken properties, deadlocks, runs that do not end within the bound, and exceptions of tasks (a
 * sanitizer in mode `stop` throws).
 *
 * The count of interleavings is the same on every run: nothing is left to chance, and with `digest` only orders of steps
 * that do not matter are left out (see `ExhaustiveSearch`).
 */
export function explore<C>(program: Exploration<C>): ExplorationResult {
  const explorer = new Explorer(program);
  const { search = 'exhaustive' } = program;
  if (search === 'random' || search === 'pct') return explorer.sampled(search);
  if (search === 'states' && program.digest === undefined)
    throw new RangeError('a search of states needs a digest that tells them apart');
  return explorer.exhaustive(search === 'states');
}

/**
 * Run a program once under a printed schedule.
 *
 * @returns what goes wrong, null when nothing does, and the steps as lines.
 */
export function replayExploration<C>(
  program: Exploration<C>,
  schedule: string,
): { readonly fault: Fault | null; readonly steps: readonly string[] } {
  return new Explorer(program).trace(parseSchedule(schedule));
}

class Explorer<C> {
  readonly #program: Exploration<C>;
  readonly #prepared: PreparedProgram<C>;
  readonly #runs: number;
  readonly #steps: number;
  readonly #states = new Set<string>();
  readonly #ends = new Set<string>();
  readonly #ways = new Ways();

  constructor(program: Exploration<C>) {
    this.#program = program;
    this.#prepared = new PreparedProgram(program);
    this.#runs = program.bound?.runs ?? RUNS;
    this.#steps = program.bound?.steps ?? STEPS;
  }

  exhaustive(merge: boolean): ExplorationResult {
    let run = new ExploredRun(this.#prepared);
    let setUp = 0;
    const graph = merge ? new StateGraph() : null;
    const enter = (step: number): string => {
      // States of the set-up are never met twice.
      const key = run.context === null ? `set-up ${setUp++}` : run.key;
      graph?.enter(step, key);
      return key;
    };
    const deviations = this.#program.bound?.deviations;
    const search = new ExhaustiveSearch({
      steps: this.#steps,
      undeclared: this.#program.digest === undefined ? 'anything' : () => run.digest,
      onState: () => this.#visit(run),
      ...(deviations === undefined ? {} : { deviations }),
      ...(merge ? { merge: (step: number) => enter(step) } : {}),
    });
    const isOwn = (error: unknown): boolean => search.isOwn(error);
    let more = true;
    for (let runs = 0; more && runs < this.#runs; runs++) {
      run = new ExploredRun(this.#prepared);
      let fault: Fault | null = null;
      const end = search.run((strategy) => {
        fault = run.run(merge ? this.#following(run, strategy) : strategy, isOwn);
      });
      if (end === 'cut') fault = tooLong(this.#steps, run.handles);
      if (fault !== null) return this.#result(search, false, this.#explain(fault, search.schedule));
      if (end === 'complete') {
        this.#ends.add(run.digest);
        graph?.end();
      }
      more = search.next();
    }
    const { redundant, steps } = search;
    const complete = graph?.count() ?? search.complete;
    return this.#result({ complete, redundant, steps }, !more && deviations === undefined, null);
  }

  sampled(kind: 'random' | 'pct'): ExplorationResult {
    const { machine, depth = 3 } = this.#program;
    const first = machine?.seed ?? 1;
    let steps = 0;
    let longest = 1;
    const runs = this.#program.bound?.runs ?? 1000;
    for (let i = 0; i < runs; i++) {
      const inner = kind === 'random' ? { ...random(), timeless: true } : pct({ depth, steps: longest });
      const recorder = recorded(inner);
      const run = new ExploredRun(this.#prepared);
      let taken = 0;
      const fault = this.#guarded(
        run,
        recorder,
        (step) => {
          taken = step + 1;
          this.#visit(run);
        },
        first + i,
      );
      steps += taken;
      longest = Math.max(longest, taken);
      const counts = { complete: i + 1, redundant: 0, steps };
      if (fault !== null) return this.#result(counts, false, this.#explain(fault, recorder.schedule));
      this.#ends.add(run.digest);
    }
    return this.#result({ complete: runs, redundant: 0, steps }, false, null);
  }

  /** The run of a schedule, step by step. */
  trace(schedule: Schedule): { fault: Fault | null; steps: readonly string[] } {
    const run = new ExploredRun(this.#prepared);
    const steps: string[] = [];
    let last: TaskHandle | null = null;
    const place = (): void => {
      if (last !== null) steps.push(`${last.name}: ${last.ended ? 'ends' : last.at}`);
    };
    const fault = this.#guarded(run, replay(schedule), (_step, next) => {
      place();
      last = next;
      run.checkState();
    });
    place();
    return { fault, steps: fault?.kind === 'livelock' ? foldSteps(steps) : steps };
  }

  /** The strategy, with the ways of the tasks kept. */
  #following(run: ExploredRun<C>, strategy: SchedulerStrategy): SchedulerStrategy {
    let last: TaskHandle | null = null;
    return watched(
      strategy,
      (_step, task) => {
        last = task;
      },
      () => {
        if (last !== null) run.follow(last, this.#ways);
      },
    );
  }

  /** A run under any strategy, with the bound on steps kept. */
  #guarded(
    run: ExploredRun<C>,
    strategy: SchedulerStrategy,
    onState: (step: number, next: TaskHandle) => void,
    seed?: number,
  ): Fault | null {
    const bounded = watched(strategy, (step, next) => {
      if (step >= this.#steps) throw TOO_LONG;
      onState(step, next);
    });
    try {
      return run.run(bounded, (error) => error === TOO_LONG, seed);
    } catch (error) {
      if (error === TOO_LONG) return tooLong(this.#steps, run.handles);
      throw error;
    }
  }

  /** The invariants need no second look at a state that was met before. */
  #visit(run: ExploredRun<C>): void {
    if (run.context === null) return;
    const known = this.#states.size;
    const { state } = run;
    if (state !== '' && this.#states.add(state).size === known) return;
    run.checkState();
  }

  /** The shortest schedule with the same failure. */
  #explain(fault: Fault, schedule: Schedule): ExplorationFailure {
    const fails = (strategy: SchedulerStrategy): boolean => {
      const run = new ExploredRun(this.#prepared);
      const other = this.#guarded(run, strategy, () => run.checkState());
      return other !== null && other.kind === fault.kind && other.name === fault.name;
    };
    const shrunk = shrinkSchedule(schedule, fails, { runs: SHRINK_RUNS });
    const { fault: shown, steps } = this.trace(shrunk.schedule);
    return {
      ...fault,
      message: shown?.message ?? fault.message,
      schedule: scheduleText(shrunk.schedule),
      shortest: shrunk.shortest,
      steps,
    };
  }

  #result(
    { complete, redundant, steps }: { complete: number; redundant: number; steps: number },
    exhaustive: boolean,
    failure: ExplorationFailure | null,
  ): ExplorationResult {
    const states = this.#program.digest === undefined ? 0 : this.#states.size;
    const ends = this.#program.digest === undefined ? 0 : this.#ends.size;
    return { interleavings: complete, redundant, steps, states, ends, exhaustive, failure };
  }
}

function tooLong(steps: number, handles: readonly TaskHandle[]): Fault {
  const left = handles.filter((task) => !task.ended).map((task) => `${task.name} at '${task.at}'`);
  return {
    kind: 'livelock',
    name: 'livelock',
    message: `no end after ${steps} steps: ${left.join(', ')} still ${left.length === 1 ? 'goes' : 'go'} on`,
  };
}
