import { random } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import {
  type Feature,
  generateScenario,
  KERNELS,
  parseScenario,
  printAnswer,
  printScenario,
  runScenario,
  type Scenario,
  shrinkScenario,
  stepsOf,
  withAnswers,
} from '../../src/scenario/index.ts';

const FEATURES: readonly Feature[] = ['thp', 'swap', 'coherent', 'gup'];

/** Nothing, or what failed with the scenario that shows it. */
function failing(scenario: Scenario, failures: readonly string[]): string {
  return failures.length === 0 ? '' : `${failures.join('\n')}\n${printScenario(scenario)}`;
}

describe.each(KERNELS)('random scenarios on %s', (kernel) => {
  test('keep every invariant of the model, print and parse, and give the same answers every time', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const scenario = generateScenario({ seed, kernel, features: FEATURES, steps: 24 });
      const run = runScenario(scenario, { kernel });
      expect(failing(scenario, run.failures)).toBe('');
      expect(run.unsafe).toBeNull();
      const golden = withAnswers(scenario, run.answers);
      const again = runScenario(parseScenario(printScenario(golden)), { kernel });
      expect(failing(golden, again.failures)).toBe('');
      expect(again.answers.map(printAnswer)).toEqual(run.answers.map(printAnswer));
    }
  });

  test('give the same answers whatever the scheduler does between the steps of one thread', () => {
    for (let seed = 101; seed <= 130; seed++) {
      const scenario = generateScenario({ seed, kernel, features: FEATURES });
      const plain = runScenario(scenario, { kernel }).answers.map(printAnswer);
      const other = runScenario(scenario, { kernel, seed, strategy: random() });
      expect(failing(scenario, other.failures)).toBe('');
      expect(other.answers.map(printAnswer)).toEqual(plain);
    }
  });
});

test('the same seed gives the same scenario, another one another', () => {
  const make = (seed: number): string =>
    printScenario(generateScenario({ seed, kernel: '7.3', features: FEATURES }));
  expect(make(7)).toBe(make(7));
  expect(make(7)).not.toBe(make(8));
});

test('shared memory is never collapsed, private memory is', () => {
  const collapsed = { shared: 0, private: 0 };
  for (let seed = 1; seed <= 150; seed++) {
    const shared = new Set<string>();
    for (const { what } of stepsOf(generateScenario({ seed, kernel: '7.3', features: ['thp'], steps: 24 }))) {
      if (what.op === 'mmap' && what.flags.includes('shared')) shared.add(what.buffer);
      if (what.op === 'mremap' && shared.has(what.range.buffer)) shared.add(what.buffer);
      if (what.op !== 'madvise' || what.advice !== 'collapse') continue;
      collapsed[shared.has(what.range.buffer) ? 'shared' : 'private']++;
    }
  }
  expect(collapsed.shared).toBe(0);
  expect(collapsed.private).toBeGreaterThan(5);
});

test('without gup nothing is pinned', () => {
  const pins = (features: readonly Feature[]): number => {
    const seeds = Array.from({ length: 60 }, (_, seed) =>
      generateScenario({ seed, kernel: '7.3', features }),
    );
    return seeds.flatMap(stepsOf).filter((step) => step.what.op === 'pin').length;
  };
  expect(pins(['thp', 'swap'])).toBe(0);
  expect(pins(['thp', 'swap', 'gup'])).toBeGreaterThan(5);
});

test('a failing scenario shrinks to the steps that matter', async () => {
  const scenario = generateScenario({ seed: 3, kernel: '7.3', features: FEATURES, steps: 40 });
  const has = (op: string) => (s: typeof scenario) =>
    runScenario(s, { kernel: '7.3' }).answers.some(
      (a) => stepsOf(s)[a.index]!.what.op === op && a.errno === null,
    );
  const op = stepsOf(scenario).findLast((step) => has(step.what.op)(scenario))!.what.op;
  const small = await shrinkScenario(scenario, has(op));
  expect(has(op)(small)).toBe(true);
  expect(stepsOf(small).length).toBeLessThanOrEqual(4);
});

test('nothing that fails is left out of a scenario of one step', async () => {
  const one = parseScenario('scenario one\nA mmap buf 1 rw');
  expect(stepsOf(await shrinkScenario(one, () => true))).toHaveLength(1);
});
