import { ExhaustiveSearch, scheduleText } from '@gpusvm/kernel';
import type { KernelName, Scenario } from '../ast.ts';
import { runScenario, type ScenarioRun } from './run.ts';
import { type Answer, printAnswer } from '../wire.ts';

/** How far a race is explored. */
export interface ExploreOptions {
  readonly kernel: KernelName;
  /** Switches between threads that the scheduler would not make by itself; default 2. */
  readonly deviations?: number;
  /** Stop after so many schedules; default 100,000. */
  readonly mostSchedules?: number;
  /** Called before each schedule with the number of those that were run. */
  readonly onSchedule?: (schedules: number) => void;
}

/** One thing that a scenario comes to, whatever the schedule. */
export interface Outcome {
  /** By step, in the order of the text. */
  readonly answers: readonly Answer[];
  /** What did not come out as it must, or was left behind; sentences. */
  readonly failures: readonly string[];
  /** Why a real kernel would not survive it; null if it would. */
  readonly unsafe: string | null;
  /** Schedules that lead to it. */
  readonly schedules: number;
  /** The first of them, for `replay`. */
  readonly schedule: string;
}

/** What became of a scenario under every schedule that was tried. */
export interface Exploration {
  /** In the order in which they were met. */
  readonly outcomes: readonly Outcome[];
  readonly schedules: number;
  /** False when `mostSchedules` ended the exploration. */
  readonly complete: boolean;
}

/**
 * Run a scenario on the model: once if it has no race, else under every schedule of its threads with at most so many
 * deviations from the order in which each runs for as long as it can.
 */
export function exploreScenario(scenario: Scenario, o: ExploreOptions): Exploration {
  const { kernel, deviations = 2, mostSchedules = 100_000, onSchedule } = o;
  const outcomes = new Map<string, { -readonly [K in keyof Outcome]: Outcome[K] }>();
  const note = (run: ScenarioRun, schedule: () => string): void => {
    const answers = [...run.answers].sort((a, b) => a.index - b.index);
    const key = [...answers.map(printAnswer), ...run.failures, run.unsafe].join('\n');
    const known = outcomes.get(key);
    if (known === undefined) outcomes.set(key, { ...run, answers, schedules: 1, schedule: schedule() });
    else known.schedules++;
  };
  if (!scenario.blocks.some(({ kind }) => kind === 'race')) {
    note(runScenario(scenario, { kernel }), () => '-');
    return { outcomes: [...outcomes.values()], schedules: 1, complete: true };
  }
  const search = new ExhaustiveSearch({ deviations });
  let schedules = 0;
  do {
    if (schedules === mostSchedules) return { outcomes: [...outcomes.values()], schedules, complete: false };
    onSchedule?.(schedules++);
    search.run((strategy) =>
      note(runScenario(scenario, { kernel, strategy }), () => scheduleText(search.schedule)),
    );
  } while (search.next());
  return { outcomes: [...outcomes.values()], schedules, complete: true };
}
