import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type CaptureVma, PageFlag, type PageRuns } from '../../src/capture/capture.ts';
import { observedRuns } from '../../src/capture/observed-runs.ts';
import { PageRunsBuilder } from '../../src/capture/page-runs.ts';
import { modelPhysical } from '../../src/capture/physical-model.ts';
import { anyCapture } from './random-capture.ts';

const prot = { read: true, write: true, exec: false };
const vma: CaptureVma = {
  startPage: 0,
  endPage: 2 ** 20,
  prot,
  shared: false,
  kind: 'anon',
  hugetlb: false,
  io: false,
};

function framesOf(runs: PageRuns): number[] {
  return [...runs.startPage.keys()].flatMap((i) =>
    ((runs.flags[i] ?? 0) & PageFlag.SWAPPED) !== 0
      ? []
      : Array.from({ length: runs.pageCount[i] ?? 0 }, (_, page) => (runs.pfn[i] ?? 0) + page),
  );
}

test('the model keeps pages and flags, is a function of its seed, and modelling again changes nothing', () => {
  fc.assert(
    fc.property(anyCapture, fc.nat(), ({ vmas, runs }, seed) => {
      const modelled = modelPhysical(vmas, runs, seed);
      expect(observedRuns(vmas, modelled)).toEqual(observedRuns(vmas, runs));
      expect(modelPhysical(vmas, modelled, seed)).toEqual(modelled);
    }),
  );
});

test('the model maps no page frame twice, however small the memory is said to be', () => {
  fc.assert(
    fc.property(
      anyCapture,
      fc.nat(),
      fc.integer({ min: 1, max: 2 ** 22 }),
      ({ vmas, runs }, seed, ramPages) => {
        const frames = framesOf(modelPhysical(vmas, runs, seed, ramPages));
        expect(new Set(frames).size).toBe(frames.length);
      },
    ),
  );
});

test('a PMD-mapped run gets PMD folios, other anonymous memory single pages, page cache small folios', () => {
  const builder = new PageRunsBuilder();
  builder.append(512, 1024, 0, 0, PageFlag.ANON | PageFlag.PMD_MAPPED);
  builder.append(4000, 3000, 0, 0, PageFlag.ANON);
  builder.append(9001, 3000, 0, 0, 0);
  const { startPage, pfn, order, flags } = modelPhysical([vma], builder.finish(), 7);
  const misplaced = [...flags.keys()].filter((i) => {
    const folioPages = 2 ** (order[i] ?? 0);
    if (flags[i] === PageFlag.ANON) return folioPages !== 1;
    return (pfn[i] ?? 0) % folioPages !== (startPage[i] ?? 0) % folioPages;
  });
  expect(misplaced).toEqual([]);
  expect(order[0]).toBe(9);
  expect(new Set(order)).toEqual(new Set([0, 2, 3, 4, 9]));
});

test('modelled memory has runs of many lengths, as buddy memory does', () => {
  const builder = new PageRunsBuilder();
  builder.append(0, 200_000, 0, 0, PageFlag.ANON);
  const { pageCount } = modelPhysical([vma], builder.finish(), 3);
  expect(pageCount.length).toBeGreaterThan(1000);
  expect(Math.max(...pageCount)).toBeGreaterThanOrEqual(256);
  expect(new Set(pageCount).size).toBeGreaterThan(6);
});
