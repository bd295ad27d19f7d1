import { REPLAY_MODES } from '../replay.ts';
import type { XeBug } from './xe-bug.ts';
import type { XeReplay } from './xe-replay.ts';

/** A line a bug: the rule in each mode. */
export function xeBugLines(bugs: readonly XeBug[]): string[] {
  return bugs.map(({ id, finds, modes = REPLAY_MODES, title }) => {
    const cells = REPLAY_MODES.map((mode) => (modes.includes(mode) ? finds : '-').padEnd(9));
    return `${id.padEnd(8)}${cells.join('')}${title}`;
  });
}

/** The replays of one bug for people: outcome by mode, then a report of the rule that it is for. */
export function xeReplayText(bug: XeBug, replays: readonly XeReplay[]): string {
  const lines = [`${bug.id}: ${bug.title}`, `${bug.source} (evidence: ${bug.evidence})`, ''];
  for (const { mode, patched, rules, seed, asExpected } of replays) {
    const code = patched ? 'patched' : 'correct';
    const outcome = seed === null ? 'silent' : `${rules.join(', ')} (schedule of seed ${seed})`;
    lines.push(`${mode.padEnd(9)}${code.padEnd(9)}${outcome}${asExpected ? '' : '   NOT AS EXPECTED'}`);
  }
  const shown = replays.find(({ message }) => message !== null);
  if (shown !== undefined) lines.push('', `In mode ${shown.mode}:`, shown.message!);
  return `${lines.join('\n')}\n`;
}

/** A bug for machines. */
export function xeBugJson({
  id,
  title,
  source,
  evidence,
  finds,
  modes = REPLAY_MODES,
  profile,
}: XeBug): object {
  return { id, title, source, evidence, finds, modes, kernel: profile?.name ?? 'next' };
}
