import { readdirSync, readFileSync } from 'node:fs';
import {
  type Answer,
  FEATURES,
  type Feature,
  isFor,
  allSteps,
  matches,
  parseScenario,
  printAnswer,
  printStep,
  runScenario,
  type Scenario,
} from '@gpusvm/lab/scenario';
import { describe, expect, test } from 'vitest';
import { runScenarios } from '../src/hmm/run-scenarios.ts';
import { kernel } from './kernels.ts';

const FOLDER = new URL('../../../packages/lab/scenarios/hmm/', import.meta.url);
/** What a program outside of the kernel cannot do: keep single pins, and look into a notifier. */
const NOT_IN_A_GUEST: readonly Feature[] = ['gup', 'two-pass'];

function shipped(): Scenario[] {
  return readdirSync(FOLDER)
    .filter((file) => file.endsWith('.litmus'))
    .sort()
    .map((file) => parseScenario(readFileSync(new URL(file, FOLDER), 'utf8')));
}

/** Whether both sides can run it and must agree: nothing left to chance, nothing that the module does not survive. */
function comparable(scenario: Scenario, version: '6.12' | '7.3'): boolean {
  return (
    (scenario.kernels.length === 0 || scenario.kernels.includes(version)) &&
    !scenario.needs.some((feature) => NOT_IN_A_GUEST.includes(feature)) &&
    scenario.blocks.every((block) => block.kind === 'steps') &&
    runScenario(scenario, { kernel: version }).unsafe === null
  );
}

/** What differs between kernel and model, and between kernel and what the scenario demands; sentences. */
function differences(scenario: Scenario, version: '6.12' | '7.3', answers: readonly Answer[]): string[] {
  const out: string[] = [];
  const model = runScenario(scenario, { kernel: version }).answers;
  const steps = [...allSteps(scenario)];
  for (const [i, answer] of answers.entries()) {
    const step = steps[answer.index]!;
    const where = `${scenario.name}, ${printStep(step)}`;
    if (model[i] === undefined || printAnswer(answer) !== printAnswer(model[i])) {
      out.push(
        `${where}: kernel ${printAnswer(answer)}, model ${model[i] === undefined ? 'nothing' : printAnswer(model[i])}`,
      );
    }
    if (isFor(step, version) && !matches(step.expect.results, answer))
      out.push(`${where}: not what it demands`);
  }
  if (answers.length !== model.length) {
    out.push(`${scenario.name}: ${answers.length} answers of the kernel, ${model.length} of the model`);
  }
  return out;
}

describe.each(['6.12', '7.3'] as const)('Linux %s', (version) => {
  test('every shipped scenario comes out in the kernel as in the model, and as it must', async () => {
    const scenarios = shipped().filter((scenario) => comparable(scenario, version));
    const { answers } = await runScenarios({ kernel: await kernel(version), scenarios });
    expect(scenarios.length).toBeGreaterThan(80);
    expect(FEATURES).toContain('coherent');
    expect(scenarios.flatMap((scenario, i) => differences(scenario, version, answers[i]!))).toEqual([]);
  });
});
