import { expect, test } from 'vitest';
import type { OracleProgram } from '../../src/oracle/program.ts';
import { shorterPrograms, shrinkProgram } from '../../src/oracle/shrink.ts';

const program = (...lines: string[]): OracleProgram => ({ mode: 'strict', lines });

test('only the lines that the failure needs are left, in few rounds', async () => {
  const long = program(...Array.from({ length: 40 }, (_, i) => `line ${i}`));
  let rounds = 0;
  const small = await shrinkProgram(long, (candidates) => {
    rounds++;
    return Promise.resolve(
      candidates.map(({ lines }) => ['line 3', 'line 17', 'line 38'].every((line) => lines.includes(line))),
    );
  });
  expect(small).toEqual(program('line 3', 'line 17', 'line 38'));
  expect(rounds).toBeLessThanOrEqual(12);
});

test('a failure that cannot be repeated leaves the program as it was', async () => {
  const same = program('a', 'b');
  expect(await shrinkProgram(same, (candidates) => Promise.resolve(candidates.map(() => false)))).toBe(same);
});

test('candidates miss one aligned piece of each length', () => {
  expect(shorterPrograms(program('a', 'b', 'c')).map(({ lines }) => lines.join(''))).toEqual([
    'bc',
    'ac',
    'ab',
    'c',
    'ab',
  ]);
  expect(shorterPrograms(program('a'))).toEqual([]);
});
