import { replayExploration } from '@gpusvm/sanitizer';
import { describe, expect, it } from 'vitest';
import { MM_BUGS } from '../../src/bugs/mm/mm-catalogue.ts';
import { exploration, replayMm } from '../../src/bugs/mm/mm-replay.ts';

/** Rows of the sections on HMM and on RDMA. */
const ASKED =
  'H1 H2 HMM-B1 HMM-B2 HMM-B3 HMM-B4 HMM-B5 HMM-B6 HMM-B7 HMM-B8 HMM-B9 HMM-F1 HMM-F2 HMM-F3 HMM-F4 HMM-F5 H3 ODP1 ODP2';
/** For rules that no row of them breaks. */
const OWN = 'ODP-S21';

describe.each(MM_BUGS)('$id, $title', (bug) => {
  it('is silent on the correct code under every interleaving', () => {
    const { result, asExpected } = replayMm(bug, false);
    expect(result.failure).toBeNull();
    expect(result.exhaustive).toBe(true);
    expect(result.states).toBeGreaterThan(0);
    expect(asExpected).toBe(true);
  });

  it('is found on the patched code, with a schedule that shows it again', () => {
    const { result, found, asExpected } = replayMm(bug, true);
    expect(found).toBe(bug.finds);
    expect(asExpected).toBe(true);
    const failure = result.failure!;
    expect(failure.shortest).toBe(true);
    expect(failure.schedule.length).toBeLessThan(40);
    const again = replayExploration(exploration(bug, true), failure.schedule);
    expect(again.fault?.message).toBe(failure.message);
    expect(again.steps).toEqual(failure.steps);
  });
});

it('has every row of the two sections', () => {
  expect(MM_BUGS.map(({ id }) => id).sort()).toEqual([...ASKED.split(' '), OWN].sort());
});
