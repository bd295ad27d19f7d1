import type { Scenario, Step } from './ast.ts';
import { checkScenario } from './check.ts';
import { stepsOf, withSteps } from './generate.ts';
import { ScenarioError } from './scenario-error.ts';
import { compressValues } from './values.ts';
import type { Answer } from './wire.ts';

/**
 * Make a scenario without races as short as it can be while it still fails: steps are left out in runs, longest first,
 * until none can go. Scenarios that no longer make sense count as not failing.
 *
 * @param fails - whether a scenario still shows what is being looked for; may ask a real kernel.
 */
export function shrinkScenario(
  scenario: Scenario,
  fails: (candidate: Scenario) => boolean | Promise<boolean>,
): Promise<Scenario> {
  return shrinkScenarioInBatches(scenario, async (candidates) => {
    for (const [i, candidate] of candidates.entries()) if (await fails(candidate)) return i;
    return -1;
  });
}

/**
 * As {@link shrinkScenario}, where looking at many candidates costs little more than looking at one.
 *
 * @param firstFailing - index of the first candidate that still fails, -1 for none.
 */
export async function shrinkScenarioInBatches(
  scenario: Scenario,
  firstFailing: (candidates: readonly Scenario[]) => Promise<number>,
): Promise<Scenario> {
  let steps = stepsOf(scenario);
  for (let size = Math.max(1, steps.length >> 1); size > 0; ) {
    const candidates = dropRuns(scenario, steps, size);
    const found = candidates.length === 0 ? -1 : await firstFailing(candidates);
    if (found >= 0) steps = stepsOf(candidates[found]!);
    else if (size === 1) break;
    else size = size >> 1;
  }
  return withSteps(scenario, steps);
}

/** Every way to leave `size` steps in a row out that still makes sense. */
function dropRuns(scenario: Scenario, steps: readonly Step[], size: number): Scenario[] {
  const out: Scenario[] = [];
  for (let at = 0; at + size <= steps.length && size < steps.length; at++) {
    const candidate = withSteps(scenario, [...steps.slice(0, at), ...steps.slice(at + size)]);
    if (makesSense(candidate)) out.push(candidate);
  }
  return out;
}

function makesSense(scenario: Scenario): boolean {
  try {
    checkScenario(scenario);
    return true;
  } catch (error) {
    if (error instanceof ScenarioError) return false;
    throw error;
  }
}

/** The scenario with what came out of each step as what must come out; how a finding is kept. */
export function withAnswers(scenario: Scenario, answers: readonly Answer[]): Scenario {
  const byIndex = new Map(answers.map((answer) => [answer.index, answer]));
  const steps = stepsOf(scenario).map((step, index): Step => {
    const answer = byIndex.get(index);
    if (answer === undefined) return step;
    const { errno, values, pages, faults } = answer;
    const result =
      errno !== null
        ? ({ kind: 'errno', name: errno } as const)
        : values === null
          ? ({ kind: 'ok' } as const)
          : ({ kind: 'values', runs: compressValues(values) } as const);
    const counted = step.device !== null && errno === null;
    return {
      ...step,
      expect: {
        results: [result],
        pages: counted && pages >= 0 ? pages : null,
        faults: counted && faults >= 0 ? faults : null,
      },
    };
  });
  return withSteps(scenario, steps);
}
