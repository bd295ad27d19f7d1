import { ExhaustiveSearch } from './exhaustive.ts';
import { recorded } from './recorded.ts';
import { replay } from './replay.ts';
import { type ChoiceMade, type Schedule, scheduleLength, type Switch } from './schedule.ts';
import type { SchedulerStrategy } from './strategy.ts';

/** Whether a run of the program under a strategy has the failure. */
export type Fails = (strategy: SchedulerStrategy) => boolean;

/** What {@link shrinkSchedule} found. */
export interface ShrunkSchedule {
  readonly schedule: Schedule;
  /** Every schedule with fewer deviations from the default order was tried, and none fails. */
  readonly shortest: boolean;
}

/** How {@link shrinkSchedule} searches. */
export interface ShrinkOptions {
  /** Runs to spend on all shorter schedules; default 20,000. */
  readonly runs?: number;
  /** As when the schedule was made, see `replay`; default true. */
  readonly timeless?: boolean;
}

type Deviation = { readonly at: Switch } | { readonly choice: ChoiceMade };

/**
 * Find the shortest schedule that fails, given one that does: first delta debugging (Zeller, Hildebrandt: Simplifying
 * and isolating failure-inducing input, 2002) over its deviations from the default order, then every schedule with
 * fewer deviations, the shortest first, until one fails or `runs` is spent.
 *
 * @throws RangeError when the schedule does not fail.
 */
export function shrinkSchedule(
  schedule: Schedule,
  fails: Fails,
  options: ShrinkOptions = {},
): ShrunkSchedule {
  const { runs = 20_000, timeless = true } = options;
  const taken = (candidate: Schedule): Schedule | null => {
    const recorder = recorded(replay(candidate, { timeless }));
    return fails(recorder) ? recorder.schedule : null;
  };
  const given = taken(schedule);
  if (given === null) throw new RangeError('the schedule to shrink does not fail when it is replayed');
  const reduced = withoutParts(given, taken);
  if (!timeless) return { schedule: reduced, shortest: scheduleLength(reduced) === 0 };
  return shorterThan(reduced, fails, runs);
}

/** Leave out parts of the deviations, halves first, for as long as the rest fails. */
function withoutParts(schedule: Schedule, taken: (s: Schedule) => Schedule | null): Schedule {
  let best = schedule;
  let list = deviations(best);
  for (let parts = 2; list.length > 0; ) {
    const shorter = firstFailing(list, parts, taken);
    if (shorter !== null) {
      best = shorter;
      list = deviations(best);
      parts = Math.max(2, Math.min(parts - 1, list.length));
    } else if (parts >= list.length) {
      break;
    } else {
      parts = Math.min(list.length, 2 * parts);
    }
  }
  return best;
}

/** The first schedule that fails without one of `parts` parts of the deviations, and that is really shorter. */
function firstFailing(
  list: readonly Deviation[],
  parts: number,
  taken: (s: Schedule) => Schedule | null,
): Schedule | null {
  for (let part = 0; part < parts; part++) {
    const from = Math.floor((part * list.length) / parts);
    const to = Math.floor(((part + 1) * list.length) / parts);
    if (from === to) continue;
    const shorter = taken(assemble([...list.slice(0, from), ...list.slice(to)]));
    if (shorter !== null && scheduleLength(shorter) < list.length) return shorter;
  }
  return null;
}

/** Try every schedule with fewer deviations, those with the fewest first. */
function shorterThan(schedule: Schedule, fails: Fails, runs: number): ShrunkSchedule {
  let left = runs;
  for (let most = 0; most < scheduleLength(schedule); most++) {
    const search = new ExhaustiveSearch({ deviations: most });
    do {
      if (left-- === 0) return { schedule, shortest: false };
      let failed = false;
      search.run((strategy) => {
        failed = fails(strategy);
      });
      if (failed) return { schedule: search.schedule, shortest: true };
    } while (search.next());
  }
  return { schedule, shortest: true };
}

function deviations({ switches, choices }: Schedule): Deviation[] {
  return [...switches.map((at) => ({ at })), ...choices.map((choice) => ({ choice }))];
}

function assemble(list: readonly Deviation[]): Schedule {
  return {
    switches: list.flatMap((d) => ('at' in d ? [d.at] : [])),
    choices: list.flatMap((d) => ('choice' in d ? [d.choice] : [])),
  };
}
