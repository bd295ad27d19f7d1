import type { Bug } from './bug.ts';
import type { NotShown } from './catalogue.ts';
import { REPLAY_MODES, type Replay } from './replay.ts';

/** The catalogue for people: a line a bug with the rule that is named in each mode. */
export function bugListText(
  bugs: readonly Bug[],
  notShown: readonly NotShown[],
  explored: readonly string[],
  onTheStack: readonly string[],
): string {
  const head = `${'id'.padEnd(8)}${REPLAY_MODES.map((mode) => mode.padEnd(9)).join('')}what`;
  const lines = bugs.map(({ id, rules, title }) => {
    const cells = REPLAY_MODES.map((mode) => (rules[mode] ?? '-').padEnd(9));
    return `${id.padEnd(8)}${cells.join('')}${title}`;
  });
  const rest = notShown.map(({ id, why }) => `${id.padEnd(8)}not shown: ${why}`);
  const foot = `${bugs.length} bugs; the rule that the sanitizer names in each mode, - where the bug does not show.`;
  const race = `${explored.length} bugs that the explorer finds, whatever the IOMMU mode: the rule, or how the tasks end.`;
  const stack = `${onTheStack.length} bugs of a whole driver stack; the rule on mm and devices in each mode.`;
  return [
    head,
    ...lines,
    foot,
    '',
    ...explored,
    race,
    '',
    ...onTheStack,
    stack,
    '',
    ...rest,
    'Replay one: gpusvm bugs ID',
    '',
  ].join('\n');
}

/** The replays of one bug for people: outcome by mode, then the first report of each patched run. */
export function replayText(bug: Bug, replays: readonly Replay[]): string {
  const lines = [`${bug.id}: ${bug.title}`, `${bug.source} (evidence: ${bug.evidence})`, ''];
  for (const r of replays) {
    const code = r.patched ? 'patched' : 'correct';
    const outcome = r.rules.length === 0 ? 'silent' : r.rules.join(', ');
    lines.push(`${r.mode.padEnd(9)}${code.padEnd(9)}${outcome}${r.asExpected ? '' : '   NOT AS EXPECTED'}`);
  }
  const shown = replays.find((r) => r.patched && r.expected !== null);
  const report = shown?.reports.find(({ rule }) => rule === shown.expected);
  if (shown !== undefined && report !== undefined) lines.push('', `In mode ${shown.mode}:`, report.message);
  return `${lines.join('\n')}\n`;
}
