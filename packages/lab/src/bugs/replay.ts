import type { IommuMode } from '@gpusvm/dma-iova';
import type { Report, RuleId } from '@gpusvm/sanitizer';
import type { Bug } from './bug.ts';
import { makeWorld } from './world.ts';

/** Modes in which every bug is replayed, with the correct code and with the patched one. */
export const REPLAY_MODES: readonly IommuMode[] = ['none', 'strict', 'lazy', 'swiotlb'];

/** One replay of a bug's trigger. */
export interface Replay {
  readonly mode: IommuMode;
  readonly patched: boolean;
  /** Rule that must be named; null when the run must be silent. */
  readonly expected: RuleId | null;
  /** Rules that were named. */
  readonly rules: readonly RuleId[];
  readonly reports: readonly Report[];
  /** Silent, or naming the expected rule, as it should be. */
  readonly asExpected: boolean;
}

/**
 * Run a bug's trigger in one mode, on correct or on patched code, to the end of the machine.
 *
 * @param reservations - false: `dma_iova_try_alloc` always says no, so that users take their way without it.
 */
export function replay(bug: Bug, mode: IommuMode, patched: boolean, reservations = true): Replay {
  const world = makeWorld(bug, mode);
  if (!reservations) {
    world.dma.tryAlloc = (_dev, state) => {
      state.addr = 0;
      state.size = 0;
      return false;
    };
  }
  if (patched) bug.patch(world);
  bug.trigger(world);
  world.sanitizer.releaseDevice(world.dev);
  const reports = world.sanitizer.finish();
  const rules = world.sanitizer.brokenRules();
  const expected = patched ? (bug.rules[mode] ?? null) : null;
  const asExpected = expected === null ? rules.length === 0 : rules.includes(expected);
  return { mode, patched, expected, rules, reports, asExpected };
}

/** Every replay of a bug: four modes, correct and patched. */
export function replayAll(bug: Bug): Replay[] {
  return REPLAY_MODES.flatMap((mode) => [false, true].map((patched) => replay(bug, mode, patched)));
}
