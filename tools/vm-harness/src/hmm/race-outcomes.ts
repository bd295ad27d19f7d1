import {
  type Answer,
  exploreScenario,
  type KernelName,
  printAnswer,
  type Scenario,
} from '@gpusvm/lab/scenario';

/** Answers to all steps of a scenario as one text. */
export function raceOutcome(answers: readonly Answer[]): string {
  return [...answers]
    .sort((a, b) => a.index - b.index)
    .map(printAnswer)
    .join('\n');
}

/**
 * Every outcome ({@link raceOutcome}) of a scenario with a race that the model allows, under all schedules with at most
 * `deviations` switches that the scheduler would not make by itself.
 *
 * @throws Error when a schedule breaks what the scenario demands.
 */
export function raceOutcomes(scenario: Scenario, kernel: KernelName, deviations: number): Set<string> {
  const { outcomes, complete } = exploreScenario(scenario, { kernel, deviations });
  if (!complete) throw new Error(`${scenario.name} has too many schedules of ${deviations} deviations`);
  for (const { failures, schedule } of outcomes) {
    if (failures.length > 0)
      throw new Error(`${scenario.name}: ${failures.join('; ')} (schedule ${schedule})`);
  }
  return new Set(outcomes.map(({ answers }) => raceOutcome(answers)));
}
