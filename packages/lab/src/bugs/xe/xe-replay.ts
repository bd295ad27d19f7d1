import type { IommuMode } from '@gpusvm/dma-iova';
import { KERNEL_PROFILES, type Task } from '@gpusvm/kernel';
import { attachMmSanitizer, attachSanitizer, type MmSanitizer } from '@gpusvm/sanitizer';
import { REPLAY_MODES } from '../replay.ts';
import { makeXeWorld, prepareXe, type XeBug, type XeWorld } from './xe-bug.ts';

/** Schedules that each trigger runs under. */
const SEEDS = 40;

/** The replays of a bug's trigger in one mode, on correct or on patched code. */
export interface XeReplay {
  readonly mode: IommuMode;
  readonly patched: boolean;
  /** Seed of the first schedule that shows anything; null when all are silent. */
  readonly seed: number | null;
  /** Rules that were named under that schedule. */
  readonly rules: readonly string[];
  /** The report of the rule that the bug is for, or the first one. */
  readonly message: string | null;
  /** Silent, or naming the rule, as it should be. */
  readonly asExpected: boolean;
}

/** Run a bug's trigger in one mode under random schedules, until one shows what is looked for. */
export function replayXe(bug: XeBug, mode: IommuMode, patched: boolean): XeReplay {
  const shows = patched && (bug.modes ?? REPLAY_MODES).includes(mode);
  for (let seed = 1; seed <= SEEDS; seed++) {
    const found = runOnce(bug, mode, patched, seed);
    if (found.length === 0 || (shows && !found.some(({ rule }) => rule === bug.finds))) continue;
    const rules = [...new Set(found.map(({ rule }) => rule))];
    const report = found.find(({ rule }) => rule === bug.finds) ?? found[0]!;
    return { mode, patched, seed, rules, message: report.message, asExpected: shows };
  }
  return { mode, patched, seed: null, rules: [], message: null, asExpected: !shows };
}

/** Every replay of a bug: four modes, correct and patched. */
export function replayXeAll(bug: XeBug): XeReplay[] {
  return REPLAY_MODES.flatMap((mode) => [false, true].map((patched) => replayXe(bug, mode, patched)));
}

function runOnce(
  bug: XeBug,
  mode: IommuMode,
  patched: boolean,
  seed: number,
): readonly { readonly rule: string; readonly message: string }[] {
  const profile = (patched ? bug.profile : bug.fixedIn) ?? KERNEL_PROFILES.next;
  const world = makeXeWorld(bug, mode, profile, seed);
  const { machine, folios, device } = world;
  const dma = attachSanitizer(machine, { mode: 'report', devices: [device] });
  const mm = attachMmSanitizer(machine, { folios, mode: 'report' });
  machine.run(prepareXe(bug, world), 'set-up');
  if (patched) bug.patch(world);
  try {
    race(bug, world, mm);
  } catch (error) {
    // A broken stack may die of its bug after it was found; correct code may not.
    if (!patched || mm.reports.length === 0) throw error;
    return mm.reports;
  }
  return [...mm.finish(), ...(patched ? [] : dma.finish())];
}

function race(bug: XeBug, world: XeWorld, sanitizer: MmSanitizer): void {
  const { machine, mm, xe, vm, device } = world;
  for (const [name, task] of Object.entries(bug.tasks)) machine.spawn(task(world), name);
  machine.drain();
  sanitizer.check();
  machine.run(
    (function* (): Task<void> {
      yield* vm.close();
      if (mm.users > 0) yield* mm.exit();
      yield* xe.destroy();
    })(),
    'teardown',
  );
  device.destroy();
}
