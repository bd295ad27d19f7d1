import {
  type Answer,
  type Feature,
  generateScenario,
  printScenario,
  runScenario,
  type Scenario,
  shrinkScenario,
  stepsOf,
  withSteps,
} from '@gpusvm/lab/scenario';
import { describe, expect, test } from 'vitest';
import { compareScenario } from '../src/hmm/compare-scenarios.ts';
import { runScenarios } from '../src/hmm/run-scenarios.ts';
import { kernel } from './kernels.ts';

type Version = '6.12' | '7.3';

const RANDOM = Number(process.env['GPUSVM_VM_SCENARIOS'] ?? 250);
const SEED = Number(process.env['GPUSVM_VM_SEED'] ?? 0x5eed);

function model(scenario: Scenario, version: Version): readonly Answer[] {
  return runScenario(scenario, { kernel: version }).answers;
}

/** Random scenarios that a guest can run: without pins, and without what the module does not survive. */
function scenariosFor(version: Version, features: readonly Feature[]): Scenario[] {
  return Array.from({ length: RANDOM }, (_, i) => {
    const scenario = generateScenario({ seed: SEED * RANDOM + i, kernel: version, features });
    const steps = stepsOf(scenario).filter(({ what }) => what.op !== 'pin' && what.op !== 'unpin');
    return withSteps(scenario, steps);
  }).filter((scenario) => runScenario(scenario, { kernel: version }).unsafe === null);
}

/** Not a part of the suite: what still differs is listed in the README. */
describe.each(['6.12', '7.3'] as const)('Linux %s', (version) => {
  test.each<[string, Feature[]]>([
    ['private devices, huge pages, swap', ['thp', 'swap']],
    ['private and coherent devices, swap', ['coherent', 'swap']],
  ])(`${RANDOM} random scenarios with %s come out in the kernel as in the model`, async (_what, features) => {
    const scenarios = scenariosFor(version, features);
    const { answers } = await runScenarios({ kernel: await kernel(version), scenarios });
    const found = scenarios.map((s, i) => compareScenario(s, answers[i]!, model(s, version)));
    const first = found.findIndex((differences) => differences.length > 0);
    if (first < 0) return;
    const fails = async (candidate: Scenario): Promise<boolean> => {
      const run = await runScenarios({ kernel: await kernel(version), scenarios: [candidate] });
      return compareScenario(candidate, run.answers[0]!, model(candidate, version)).length > 0;
    };
    const small = await shrinkScenario(scenarios[first]!, fails);
    const count = found.filter((differences) => differences.length > 0).length;
    expect.fail(
      `${count} of ${RANDOM} scenarios differ (seed ${SEED}); the first, shrunk:\n${printScenario(small)}\n${found[first]!.join('\n')}`,
    );
  });
});
