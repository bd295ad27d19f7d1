import { ExhaustiveSearch } from '@gpusvm/kernel';
import { type Answer, type KernelName, printAnswer, runScenario, type Scenario } from '@gpusvm/lab/scenario';

/** What the model says about a race. */
export interface RaceOutcomes {
  /** Texts of {@link raceOutcome}. */
  readonly outcomes: ReadonlySet<string>;
  /** Schedules that were tried. */
  readonly schedules: number;
}

/** Answers to all steps of a scenario as one text. */
export function raceOutcome(answers: readonly Answer[]): string {
  return [...answers]
    .sort((a, b) => a.index - b.index)
    .map(printAnswer)
    .join('\n');
}

/**
 * Every outcome of a scenario with a race that the model allows, under all schedules with at most `deviations` switches
 * that the scheduler would not make by itself.
 *
 * @throws Error when a schedule breaks what the scenario demands.
 */
export function raceOutcomes(scenario: Scenario, kernel: KernelName, deviations: number): RaceOutcomes {
  const outcomes = new Set<string>();
  const search = new ExhaustiveSearch({ deviations });
  let schedules = 0;
  do {
    search.run((strategy) => {
      const { answers, failures } = runScenario(scenario, { kernel, strategy });
      if (failures.length > 0) throw new Error(`${scenario.name}: ${failures.join('; ')}`);
      outcomes.add(raceOutcome(answers));
      schedules++;
    });
  } while (search.next());
  return { outcomes, schedules };
}
