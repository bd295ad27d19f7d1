import { describe, expect, test } from 'vitest';
import { compareTranscripts, describeDifference } from '../../src/oracle/compare.ts';
import { interpret } from '../../src/oracle/interpret.ts';
import { formatPrograms, type OracleProgram, parseTranscripts } from '../../src/oracle/program.ts';

const run = (lines: readonly string[], mode: OracleProgram['mode'] = 'strict'): readonly string[] =>
  interpret({ mode, lines }, { backend: 'vtd' }).transcript.lines;

describe('the interpreter', () => {
  test('writes each call with its result and the warnings it caused', () => {
    expect(run(['alloc 0 0 1000', 'unlink 0 0 1000 0 0', '# a comment', '', '  sync 0 0 1000 '])).toEqual([
      'alloc 0 0 1000 = 1 fffff000 1000',
      'unlink 0 0 1000 0 0 = ok !1 [dma_iova_unlink]',
      'sync 0 0 1000 = 0',
    ]);
  });

  test('refuses what the module refuses: unknown calls, wrong counts, numbers that are none', () => {
    expect(run(['bogus', 'alloc 0 0', 'alloc 0 0 1000 0', 'alloc 0 0 0x1000', 'dump 1'])).toEqual([
      'bogus = syntax',
      'alloc 0 0 = syntax',
      'alloc 0 0 1000 0 = syntax',
      'alloc 0 0 0x1000 = syntax',
      'dump 1 = syntax',
    ]);
  });

  test('skips calls on slots that hold nothing, or something else', () => {
    const lines = [
      'link 0 0 0 1000 0 0',
      'unmap_phys 0 1000 0 0',
      'unmap_sg 0 0 0',
      'free_coherent 0',
      'at 0 0',
    ];
    expect(run(lines).every((line) => line.endsWith('= skip'))).toBe(true);
    const mixed = run([
      'coherent 0 1000',
      'map_phys 0 0 1000 0 0',
      'unmap_phys 0 1000 0 0',
      'map_phys 1 0 1000 3 0',
    ]);
    expect(mixed.slice(1).every((line) => line.endsWith('= skip'))).toBe(true);
  });

  test('names memory by its owner and joins neighbours of one owner only', () => {
    const lines = ['coherent 0 1000', 'coherent 1 2000', 'map_phys 2 1000 2000 0 0', 'phys fffff234', 'dump'];
    expect(run(lines).slice(-2)).toEqual([
      'phys fffff234 = c0+234',
      'dump = ffffa000+2:p1000 ffffc000+2:c1+0 fffff000+1:c0+0',
    ]);
  });

  test('counts the tables of AMD as its table grows', () => {
    const amd = (lines: readonly string[]): readonly string[] =>
      interpret({ mode: 'strict', lines }, { backend: 'amdv1' }).transcript.lines;
    const grow = 'iommu_map 8000000000 0 1000 3';
    expect(amd(['tables', 'alloc 0 0 1000', 'link 0 0 0 1000 0 0', 'tables', grow, 'tables'])).toEqual([
      'tables = 0',
      'alloc 0 0 1000 = 1 fffff000 1000',
      'link 0 0 0 1000 0 0 = 0',
      'tables = 2',
      `${grow} = 0`,
      'tables = 6',
    ]);
    expect(amd([grow, 'tables']).at(-1)).toBe('tables = 4');
  });
});

test('programs are written and transcripts read as the module does it', () => {
  expect(
    formatPrograms([
      { mode: 'lazy', lines: ['wait', 'dump'] },
      { mode: 'strict', lines: [] },
    ]),
  ).toBe('program lazy\nwait\ndump\nprogram strict\n');
  expect(parseTranscripts('program lazy = 0\nwait = ok\ndump = none\nprogram strict = -22\n')).toEqual([
    { reset: 0, lines: ['wait = ok', 'dump = none'] },
    { reset: -22, lines: [] },
  ]);
});

test('the first differing line of each program is reported, a missing one too', () => {
  const kernel = [
    { reset: 0, lines: ['a', 'b', 'c'] },
    { reset: 0, lines: ['a'] },
    { reset: 0, lines: ['a', 'b'] },
  ];
  const model = [
    { reset: 0, lines: ['a', 'x', 'y'] },
    { reset: 0, lines: ['a'] },
    { reset: 0, lines: ['a'] },
  ];
  const differences = compareTranscripts(kernel, model);
  expect(differences).toEqual([
    { program: 0, line: 1, kernel: 'b', model: 'x' },
    { program: 2, line: 1, kernel: 'b', model: '(nothing)' },
  ]);
  const programs: OracleProgram[] = kernel.map(({ lines }) => ({ mode: 'strict', lines }));
  expect(describeDifference(differences[0]!, programs)).toMatch(
    /kernel: b\n {2}model: {2}x\nprogram strict\na\nb\nc/,
  );
});
