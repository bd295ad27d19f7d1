import { expect, test } from 'vitest';
import { BOUNCE_PROGRAMS } from '../../src/oracle/bounce-programs.ts';
import { interpret } from '../../src/oracle/interpret.ts';
import type { OracleMode } from '../../src/oracle/program.ts';
import { randomBounceProgram } from '../../src/oracle/random-bounce.ts';

const linesOf = (mode: OracleMode, seeds: number): readonly string[] =>
  Array.from({ length: seeds }, (_, seed) => randomBounceProgram(seed, mode)).flatMap(
    (program) => interpret(program, { backend: 'vtd', swiotlb: 'forced' }).transcript.lines,
  );

test('the same seed gives the same program, another seed another one', () => {
  expect(randomBounceProgram(7, 'untrusted')).toEqual(randomBounceProgram(7, 'untrusted'));
  expect(randomBounceProgram(7, 'untrusted')).not.toEqual(randomBounceProgram(8, 'untrusted'));
});

test('programs of untrusted devices reach every outcome of a link, and warnings of copies', () => {
  const lines = linesOf('untrusted', 120);
  const outcomes = [
    'link .* = 0$',
    'link .* = -1$',
    'link .* = -6$',
    'link .* = -98$',
    'map_sg .* = -5$',
    'map_phys .* = error$',
    'map_phys .* = error !1 "Unsupported alignment constraint" \\[__iommu_dma_map\\]$',
    '= ok !1 "Buffer overflow detected.*\\[swiotlb_bounce\\]$',
    'dev_sum .* = fault\\+0$',
    'sum 0 .* = [0-9a-f]+$',
    'dump = .*:b[0-9a-f]+',
  ];
  const missing = outcomes.filter((outcome) => !lines.some((line) => new RegExp(outcome).test(line)));
  expect(missing).toEqual([]);
  expect(lines.filter((line) => line.includes('= syntax'))).toEqual([]);
});

test('forced direct mappings give slots of the pool and no IOVA', () => {
  const mapped = linesOf('identity', 60).filter((line) => /^map_phys .* = [^es]/.test(line));
  expect(mapped.length).toBeGreaterThan(100);
  expect(mapped.filter((line) => !/= b[0-9a-f]+$/.test(line))).toEqual([]);
});

test('the fixed programs hold no line that the module would not take', () => {
  for (const program of BOUNCE_PROGRAMS) {
    const { lines } = interpret(program, { backend: 'amdv1', swiotlb: 'forced' }).transcript;
    expect(lines.filter((line) => line.includes('= syntax'))).toEqual([]);
  }
});
