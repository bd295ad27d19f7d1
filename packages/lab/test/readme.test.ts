import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { random } from '@gpusvm/kernel';
import { expect, it, vi } from 'vitest';
import { exploreScenario, parseScenario, printScenario, runScenario } from '../src/scenario/index.ts';

it('runs the example of the README', { timeout: 60_000 }, async () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const code = /```ts\n([\s\S]*?)```/.exec(readme)?.[1];
  if (code === undefined) throw new Error('the README has no example');
  const file = new URL('./readme-example.generated.ts', import.meta.url);
  const lines: string[] = [];
  const log = vi
    .spyOn(console, 'log')
    .mockImplementation((...words: unknown[]) => void lines.push(words.join(' ')));
  writeFileSync(file, code);
  try {
    await import(/* @vite-ignore */ file.href);
  } finally {
    log.mockRestore();
    rmSync(file);
  }
  expect(lines).toEqual(['iova-packed is clean', 'iova-holes-one-destroy leaks', 'Use iova-packed']);
});

it('holds what the scenario of the README says, for random schedules and for all with few deviations', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const scenario = parseScenario(/```litmus\n([\s\S]*?)```/.exec(readme)![1]!);
  expect(printScenario(parseScenario(printScenario(scenario)))).toBe(printScenario(scenario));
  for (const kernel of scenario.kernels) {
    for (let seed = 1; seed <= 20; seed++) {
      expect(runScenario(scenario, { kernel, seed, strategy: random() }).failures).toEqual([]);
    }
    const { outcomes, complete } = exploreScenario(scenario, { kernel });
    expect(complete && outcomes.length > 1).toBe(true);
    expect(outcomes.flatMap(({ failures }) => failures)).toEqual([]);
  }
});
