import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { percentile10, runGroup, runInstructions, slopePerOp } from '../src/index.mjs';

const noop = () => () => undefined;
const GROUPS = [
  {
    title: 'loops',
    cases: [
      { name: 'single', ops: 1, setup: noop },
      { name: 'double', ops: 10, runs: [5, 9], setup: noop },
      { name: 'double less single', label: 'difference', ops: 1, less: 'single', setup: noop },
      { name: 'left out', ops: 1, instructions: false, setup: noop },
    ],
  },
];

describe('ratios', () => {
  it('take the 10th percentile, whatever the order', () => {
    const samples = Array.from({ length: 100 }, (_, i) => (i * 37) % 100);
    expect(percentile10(samples)).toBe(10);
    expect(samples[0]).toBe(0);
  });

  it('set a case up once, prepare before every run, and print a line a case', () => {
    const calls = { setup: 0, prepare: 0, run: 0 };
    const lines = [];
    const setup = () => {
      calls.setup++;
      return { prepare: () => calls.prepare++, run: () => calls.run++ };
    };
    const cases = [
      { name: 'prepared', ops: 2, setup },
      { name: 'plain', ops: 1, setup: noop },
      { name: 'left out', ops: 1, ratios: false, setup: noop },
    ];
    const rows = runGroup({ title: 'one', cases }, 0, (line) => lines.push(line));
    expect(calls.setup).toBe(1);
    expect(calls.prepare).toBe(calls.run);
    expect(rows.map(({ name }) => name)).toEqual(['prepared', 'plain']);
    expect(lines.length).toBe(3);
    expect(lines[1]).toMatch(/prepared +\d+\.\d ns +1\.00x/);
  });
});

describe('instructions', () => {
  it('are the slope between two numbers of runs', () => {
    expect(slopePerOp(100, 5_000_000, 300, 5_400_000, 10)).toBe(200);
  });

  it('leave out what a process costs before its first run, and what another case costs', () => {
    const counted = [];
    const perRun = { single: 1000, double: 2000, 'double less single': 2000 };
    const count = (url, title, name, runs) => {
      counted.push(`${name} ${runs}`);
      return 3e9 + runs * perRun[name];
    };
    const lines = [];
    const print = (line) => lines.push(line);
    const results = runInstructions('file:///none', GROUPS, { count, print, runs: [60, 90] });
    expect(results.map(({ name, instructions }) => [name, instructions])).toEqual([
      ['single', 1000],
      ['double', 200],
      ['difference', 1000],
    ]);
    // A case that another one needs is not counted twice; one has its own numbers of runs.
    expect(counted).toEqual([
      'single 60',
      'single 90',
      'double 5',
      'double 9',
      'double less single 60',
      'double less single 90',
    ]);
    expect(lines.length).toBe(4);
    expect(() =>
      runInstructions('x', [{ title: 't', cases: [{ ...GROUPS[0].cases[2] }] }], { count, print }),
    ).toThrow('there is no case single');
  });

  it('run one case of a scenario file a given number of times', () => {
    const child = fileURLToPath(new URL('../src/run-case.mjs', import.meta.url));
    const run = (...args) => spawnSync(process.execPath, [child, ...args], { encoding: 'utf8' });
    const scenario = new URL('./scenarios.mjs', import.meta.url).href;
    expect(run(scenario, 'counting', 'prints', '3').stdout).toBe(
      'set up\nprepared\nrun\nprepared\nrun\nprepared\nrun\n',
    );
    expect(run(scenario, 'counting', 'nothing', '3').stderr).toContain('there is no case nothing');
  });
});
