import { Machine } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import {
  type DmaCounterName,
  DmaDevice,
  dmaIovaDestroy,
  dmaIovaDestroyHoles,
  dmaIovaFree,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaIovaUnlink,
  dmaIovaUnlinkRuns,
  TagMemory,
} from '../src/index.ts';
import { Random } from './support/random.ts';

const PAGE = 4096;
const N = 512;
const NAMES = [
  'callLink',
  'pteW',
  'walk',
  'iotlbInv',
  'tblAlloc',
  'tblFree',
] as const satisfies readonly DmaCounterName[];

interface Run {
  readonly slot: number;
  readonly pages: number;
}

/** `runs` runs with `pages` pages in all, none of which touch, in 512 slots that begin and end with a hole. */
function pattern(pages: number, runs: number): Run[] {
  const random = new Random(pages);
  const lengths = Array.from({ length: runs }, () => 1);
  for (let left = pages - runs; left > 0; left--) lengths[random.below(runs)]!++;
  const gaps = Array.from({ length: runs + 1 }, () => 1);
  for (let left = N - pages - runs - 1; left > 0; left--) gaps[random.below(runs + 1)]!++;
  let slot = 0;
  return lengths.map((length, i) => {
    slot += gaps[i]!;
    const run = { slot, pages: length };
    slot += length;
    return run;
  });
}

type Design = (dev: DmaDevice, state: DmaIovaState, runs: readonly Run[]) => void;

/** Physical pages of a run: nowhere aligned with its slots. */
function phys(run: Run): number {
  return (2049 + run.slot) * PAGE;
}

function linkRun(dev: DmaDevice, state: DmaIovaState, run: Run, slot: number): void {
  if (dmaIovaLink(dev, state, phys(run), slot * PAGE, run.pages * PAGE, 0, 0) !== 0) throw new Error('link');
}

function linkInPlace(dev: DmaDevice, state: DmaIovaState, runs: readonly Run[]): void {
  for (const run of runs) linkRun(dev, state, run, run.slot);
  dmaIovaSync(dev, state, 0, N * PAGE);
}

/** The designs of specification section 4. */
const DESIGNS: Readonly<Record<string, Design>> = {
  'a dummy page in every hole': (dev, state, runs) => {
    linkInPlace(dev, state, runs);
    for (let slot = 0; slot < N; slot++) {
      if (dev.domain!.translate(state.addr / PAGE + slot) < 0)
        dmaIovaLink(dev, state, 1000 * PAGE, slot * PAGE, PAGE, 0, 0);
    }
    dmaIovaDestroy(dev, state, N * PAGE, 0, 0);
  },
  'tight packing': (dev, state, runs) => {
    let slot = 0;
    for (const run of runs) {
      linkRun(dev, state, run, slot);
      slot += run.pages;
    }
    dmaIovaSync(dev, state, 0, slot * PAGE);
    dmaIovaDestroy(dev, state, slot * PAGE, 0, 0);
  },
  'unlink per run': (dev, state, runs) => {
    linkInPlace(dev, state, runs);
    for (const { slot, pages } of runs) dmaIovaUnlink(dev, state, slot * PAGE, pages * PAGE, 0, 0);
    dmaIovaFree(dev, state);
  },
  'unlink per page': (dev, state, runs) => {
    linkInPlace(dev, state, runs);
    for (const { slot, pages } of runs) {
      for (let i = 0; i < pages; i++) dmaIovaUnlink(dev, state, (slot + i) * PAGE, PAGE, 0, 0);
    }
    dmaIovaFree(dev, state);
  },
  'one gather over the runs': (dev, state, runs) => {
    linkInPlace(dev, state, runs);
    const offsets = Float64Array.from(runs, (run) => run.slot * PAGE);
    const sizes = Float64Array.from(runs, (run) => run.pages * PAGE);
    dmaIovaUnlinkRuns(dev, state, offsets, sizes, runs.length, 0, 0);
    dmaIovaFree(dev, state);
  },
  'hole-tolerant destroy': (dev, state, runs) => {
    linkInPlace(dev, state, runs);
    dmaIovaDestroyHoles(dev, state, 0, 0);
  },
};

function cost(design: Design, runs: readonly Run[]): number[] {
  const machine = new Machine();
  const memory = new TagMemory(machine, { pages: 4096 });
  const dev = new DmaDevice(machine, memory, { name: 'gpu', iommu: 'strict' });
  const above = new DmaIovaState();
  dmaIovaTryAlloc(dev, above, 0, 2 * N * PAGE);
  dmaIovaLink(dev, above, 2048 * PAGE, 0, N * PAGE, 0, 0); // keeps the upper tables
  const state = new DmaIovaState();
  dmaIovaTryAlloc(dev, state, 0, N * PAGE);
  const before = machine.counters.snapshot();
  design(dev, state, runs);
  const after = machine.counters.snapshot();
  expect([dev.domain!.mappedPages, machine.warnings]).toEqual([N, 0]);
  return NAMES.map((name) => after.get(`dma.${name}`)! - before.get(`dma.${name}`)!);
}

describe('what a 2 MiB transaction with holes costs, design by design', () => {
  for (const [n, r] of [
    [470, 41],
    [273, 8],
    [285, 134],
    [69, 60],
  ] as const) {
    it(`${n} pages in ${r} runs: link calls, entries written, walks, invalidations, tables`, () => {
      const runs = pattern(n, r);
      const found = Object.fromEntries(
        Object.entries(DESIGNS).map(([name, design]) => [name, cost(design, runs)]),
      );
      const holes = N - n;
      // Entries: every page twice, and a table is linked and unlinked with one each.
      expect(found).toEqual({
        'a dummy page in every hole': [r + holes, 2 * N + 2, r + holes + 1, 1, 1, 1],
        'tight packing': [r, 2 * n + 1, r + 1, 1, 1, 0],
        'unlink per run': [r, 2 * n + 1, 2 * r, r, 1, 0],
        'unlink per page': [r, 2 * n + 1, r + n, n, 1, 0],
        'one gather over the runs': [r, 2 * n + 1, 2 * r, 1, 1, 0],
        'hole-tolerant destroy': [r, 2 * n + 2, r + 1, 1, 1, 1],
      });
    });
  }
});
