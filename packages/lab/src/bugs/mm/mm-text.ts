import type { MmBug } from './mm-bug.ts';
import type { MmReplay } from './mm-replay.ts';

/** A line a bug: what the explorer finds. */
export function mmBugLines(bugs: readonly MmBug[]): string[] {
  return bugs.map(({ id, finds, title }) => `${id.padEnd(8)}${finds.padEnd(36)}${title}`);
}

/** The explorations of one bug for people: what was run, then the shortest failing schedule with its steps. */
export function mmReplayText(bug: MmBug, replays: readonly MmReplay[]): string {
  const lines = [`${bug.id}: ${bug.title}`, `${bug.source} (evidence: ${bug.evidence})`, ''];
  for (const { patched, result, found, asExpected } of replays) {
    const code = (patched ? 'patched' : 'correct').padEnd(9);
    const extent = `${result.interleavings} interleavings, ${result.states} states`;
    const outcome = found === null ? `silent in ${extent}` : found;
    lines.push(`${code}${outcome}${asExpected ? '' : '   NOT AS EXPECTED'}`);
  }
  const failure = replays.find(({ patched }) => patched)?.result.failure ?? null;
  if (failure === null) return `${lines.join('\n')}\n`;
  const shortest = failure.shortest ? 'the shortest there is' : 'the shortest that was found';
  lines.push('', failure.message, '', `Schedule ${failure.schedule}, ${shortest}:`);
  return `${[...lines, ...failure.steps.map((step) => `  ${step}`)].join('\n')}\n`;
}

/** A bug for machines. */
export function mmBugJson({ id, title, source, evidence, finds, profile }: MmBug): object {
  return {
    id,
    title,
    source,
    evidence,
    finds,
    kernel: profile === undefined ? 'linux-7.3' : 'before the fix',
  };
}
