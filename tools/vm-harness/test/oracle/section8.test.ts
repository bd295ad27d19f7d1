import { describe, expect, test } from 'vitest';
import { interpret } from '../../src/oracle/interpret.ts';
import { breaches, programOf } from '../../src/oracle/section8/row.ts';
import { SECTION_8 } from '../../src/oracle/section8/rows.ts';

/** What was measured on the kernel must hold for the model; vm/section8.vm.ts asks the kernel itself. */
describe.each(['vtd', 'amdv1'] as const)('%s', (backend) => {
  test.each(SECTION_8.map((row) => [row.no, row.title, row] as const))('row %d: %s', (_no, _title, row) => {
    const { transcript } = interpret(programOf(row), { backend, forcedac: row.forcedac });
    expect(breaches(row, backend, transcript.lines)).toEqual([]);
  });
});

test('no row is missing, but the one about the command line', () => {
  const numbers = new Set(SECTION_8.map((row) => row.no));
  const all =
    '1 2 3 5 7 9 10 11 15 16 18 20 21 22 24 25 27 28 29 31 32 33 34 36 37 39 40 41 43 45 46 48 49 51 54 56 57 58 59 60 ' +
    '61 63 64 65 66 68 69 70 71 73 75 76 78 80 81 82 83 84 85 86 88 89 90 93 94 96 98 100 101 104 106 107 108 110 111 ' +
    '112 113 115 116 117 118 119 120 121 122 124 125 128 129';
  expect([...numbers].sort((a, b) => a - b)).toEqual(all.split(' ').map(Number));
});
