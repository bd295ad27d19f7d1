import { expect, test } from 'vitest';
import { interpret } from '../../src/oracle/interpret.ts';
import { randomProgram } from '../../src/oracle/random-program.ts';
import { RandomSource } from '../../src/oracle/random-source.ts';

const SEEDS = Array.from({ length: 300 }, (_, seed) => seed);

test('the same seed gives the same program and the same transcript, another seed another program', () => {
  expect(randomProgram(7, 'lazy')).toEqual(randomProgram(7, 'lazy'));
  expect(randomProgram(7, 'strict')).not.toEqual(randomProgram(8, 'strict'));
  const twice = [1, 2].map(() => interpret(randomProgram(7, 'lazy'), { backend: 'amdv1' }).transcript);
  expect(twice[0]).toEqual(twice[1]);
});

test('no program holds a line that the module would not take', () => {
  for (const seed of SEEDS) {
    const { transcript } = interpret(randomProgram(seed, seed % 2 === 0 ? 'strict' : 'lazy'), {
      backend: 'vtd',
    });
    expect(transcript.lines.filter((line) => line.includes('= syntax'))).toEqual([]);
  }
});

test('the programs reach every call, success and failure, and warnings', () => {
  const lines = SEEDS.flatMap(
    (seed) => interpret(randomProgram(seed, 'lazy'), { backend: 'vtd' }).transcript.lines,
  );
  const calls = new Set(lines.map((line) => line.split(' ')[0]));
  const expected =
    'alloc at coherent destroy dump fail free free_coherent iommu_map iommu_unmap link map_page map_phys map_resource ' +
    'map_sg state sync tables unlink unmap_page unmap_phys unmap_resource unmap_sg wait';
  expect([...calls].toSorted((a, b) => (a! < b! ? -1 : 1)).join(' ')).toBe(expected);
  for (const outcome of [
    'link .* = 0',
    'link .* = -98',
    'link .* = -12',
    'link .* = -22 !1 \\[vtdss_map_range\\]',
    'link .* = -6',
    'unlink .* = ok !1 \\[dma_iova_unlink\\]',
  ]) {
    expect(lines.some((line) => new RegExp(`^${outcome}$`).test(line))).toBe(true);
  }
});

test('the source is spread over its range', () => {
  const random = new RandomSource(1);
  const hits = Array.from({ length: 10 }, () => 0);
  for (let i = 0; i < 10_000; i++) hits[random.below(10)]!++;
  expect(Math.min(...hits)).toBeGreaterThan(800);
  expect(Math.max(...hits)).toBeLessThan(1200);
});
