import { attachMmSanitizer, explore, type Exploration, type MmSanitizer } from '@gpusvm/sanitizer';
import { describe, expect, it } from 'vitest';
import { type MmContext, mmProgram, type OperationName, OPERATIONS, type Placement } from './mm-program.ts';

const NAMES = Object.keys(OPERATIONS) as OperationName[];
/** A process exits once. */
const PAIRS = NAMES.flatMap((a, i) => NAMES.slice(i).map((b) => [a, b] as const)).filter(
  ([a, b]) => a !== 'exit' || b !== 'exit',
);
const PLACED: readonly Placement[] = ['none', 'ram', 'device'];

/** A program under all rules: each state is swept, and nothing is left at the end. */
function checked(names: readonly OperationName[], pages: number, placed: Placement): Exploration<MmContext> {
  let sanitizer: MmSanitizer | null = null;
  const program = mmProgram(names, pages, placed, ({ machine, folios }) => {
    sanitizer = attachMmSanitizer(machine, { folios, mode: 'stop' });
  });
  return {
    ...program,
    invariants: { 'S1 to S22': () => (sanitizer!.check(), null) },
    atEnd: { 'nothing left': () => (sanitizer!.finish(), null) },
  };
}

/** Interleavings and states of all pairs, by pages and placement. */
const COUNTS: Readonly<Record<string, readonly [number, number]>> = {
  '1 none': [6044, 1530],
  '1 ram': [3129, 1530],
  '1 device': [272091, 2691],
  '2 none': [7878, 1600],
  '2 ram': [3509, 1569],
  '2 device': [3206243, 3679],
};

describe.each([1, 2])('two tasks on %d page(s)', (pages) => {
  it.each(PLACED)('that begin in %s: every pair, every interleaving, every state sound', (placed) => {
    let interleavings = 0;
    let states = 0;
    for (const pair of PAIRS) {
      const result = explore({ ...checked(pair, pages, placed), search: 'states' });
      expect([pair, result.failure, result.exhaustive]).toEqual([pair, null, true]);
      interleavings += result.interleavings;
      states += result.states;
    }
    expect([interleavings, states]).toEqual(COUNTS[`${pages} ${placed}`]);
  });
});

it('meets the same states and ends when it runs every interleaving, and counts them right', () => {
  let compared = 0;
  for (const placed of PLACED) {
    for (const pair of PAIRS) {
      const states = explore({ ...checked(pair, 1, placed), search: 'states' });
      if (states.interleavings > 50) continue;
      compared++;
      const all = explore({ ...checked(pair, 1, placed), bound: { deviations: 1000 } });
      const about = (r: typeof all): unknown => [pair, placed, r.interleavings, r.states, r.ends, r.failure];
      expect(about(states)).toEqual(about(all));
      const reduced = explore(checked(pair, 1, placed));
      expect([reduced.ends, reduced.failure, reduced.exhaustive]).toEqual([all.ends, null, true]);
    }
  }
  expect(compared).toBeGreaterThan(40);
});
