import type { Bug } from './bug.ts';
import type { NotShown } from './catalogue.ts';
import type { Replay } from './replay.ts';

/** The catalogue for machines. */
export function bugListJson(
  bugs: readonly Bug[],
  notShown: readonly NotShown[],
  explored: readonly object[],
  onTheStack: readonly object[],
): string {
  return json({ version: 1, bugs: bugs.map(describe), explored, onTheStack, notShown });
}

/** The replays of one bug for machines, reports included. */
export function replayJson(bug: Bug, replays: readonly Replay[]): string {
  return json({ version: 1, bug: describe(bug), asExpected: replays.every((r) => r.asExpected), replays });
}

function describe({ id, title, source, evidence, rules, profile }: Bug): object {
  return { id, title, source, evidence, rules, kernel: profile ?? 'linux-7.3' };
}

function json(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
