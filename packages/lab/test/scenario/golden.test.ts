import { readdirSync, readFileSync } from 'node:fs';
import { random } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import {
  KERNELS,
  parseScenario,
  printScenario,
  runScenario,
  type Scenario,
} from '../../src/scenario/index.ts';

const FOLDER = new URL('../../scenarios/hmm/', import.meta.url);
const FILES = readdirSync(FOLDER).filter((file) => file.endsWith('.litmus'));

function load(file: string): Scenario {
  return parseScenario(readFileSync(new URL(file, FOLDER), 'utf8'));
}

describe.each(FILES)('%s', (file) => {
  const scenario = load(file);
  const kernels = scenario.kernels.length === 0 ? KERNELS : scenario.kernels;

  test.each(kernels)('holds on %s', (kernel) => {
    const run = runScenario(scenario, { kernel });
    expect(run.failures).toEqual([]);
    expect(run.unsafe).toBeNull();
    expect(run.answers.length).toBeGreaterThan(0);
  });

  test.each(kernels)('holds on %s under other schedules', (kernel) => {
    // Without a race only the device's and the notifiers' preemption points are left to chance.
    const seeds = scenario.blocks.some((block) => block.kind === 'race') ? 100 : 1;
    for (let seed = 1; seed <= seeds; seed++) {
      const run = runScenario(scenario, { kernel, seed, strategy: random() });
      expect(run.failures, `seed ${seed}`).toEqual([]);
    }
  });

  test('prints as it was read', () => {
    const again = parseScenario(printScenario(scenario));
    expect(printScenario(again)).toBe(printScenario(scenario));
    const noLines = (s: Scenario): unknown =>
      JSON.parse(JSON.stringify(s), (key, v) => (key === 'line' ? 0 : v));
    expect(noLines(again)).toEqual(noLines(scenario));
  });
});
