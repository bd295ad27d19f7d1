import { readdirSync, readFileSync } from 'node:fs';
import { parseScenario, type Scenario } from '@gpusvm/lab/scenario';
import { describe, expect, test } from 'vitest';
import { raceOutcome, raceOutcomes } from '../src/hmm/race-outcomes.ts';
import { runScenarios } from '../src/hmm/run-scenarios.ts';
import { kernel } from './kernels.ts';

const FOLDER = new URL('../../../packages/lab/scenarios/hmm/', import.meta.url);
/** How often each race is run; GPUSVM_VM_RACES asks for more. */
const RUNS = Number(process.env['GPUSVM_VM_RACES'] ?? 50);
/** As many unforced switches of the model's scheduler; more give no further outcome of these scenarios. */
const DEVIATIONS = 2;

function races(): Scenario[] {
  return readdirSync(FOLDER)
    .filter((file) => file.endsWith('.litmus'))
    .sort()
    .map((file) => parseScenario(readFileSync(new URL(file, FOLDER), 'utf8')))
    .filter((scenario) => scenario.blocks.some((block) => block.kind === 'race'));
}

describe.each(['6.12', '7.3'] as const)('Linux %s', (version) => {
  test(`every outcome of ${RUNS} runs of each race is one that the model allows`, async () => {
    const scenarios = races();
    const allowed = scenarios.map((scenario) => raceOutcomes(scenario, version, DEVIATIONS));
    const runs = Array.from({ length: RUNS * scenarios.length }, (_, i) => scenarios[i % scenarios.length]!);
    const { answers } = await runScenarios({ kernel: await kernel(version), scenarios: runs, cpus: 2 });
    const seen = scenarios.map((_, s) => {
      return new Set(answers.filter((_, i) => i % scenarios.length === s).map(raceOutcome));
    });
    const strange = scenarios.flatMap((scenario, i) =>
      [...seen[i]!]
        .filter((outcome) => !allowed[i]!.has(outcome))
        .map((outcome) => `${scenario.name}:\n${outcome}`),
    );
    expect(strange).toEqual([]);
    // The threads do meet: some races end in more than one way.
    expect(seen.filter((outcomes) => outcomes.size > 1).length).toBeGreaterThan(1);
  });
});
