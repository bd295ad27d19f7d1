import type { OracleProgram } from './program.ts';

/**
 * Make a failing program smaller, many candidates at a time, because trying costs a boot and not a program: all
 * halves, quarters and so on are removed in one round, then the smallest candidate that still fails is taken.
 *
 * @param fails - which of the candidates fail.
 * @returns a program of which no single line can be left out, unless `maxRounds` ended before.
 */
export async function shrinkProgram(
  program: OracleProgram,
  fails: (candidates: readonly OracleProgram[]) => Promise<readonly boolean[]>,
  maxRounds = 12,
): Promise<OracleProgram> {
  let best = program;
  for (let round = 0; round < maxRounds; round++) {
    const candidates = shorterPrograms(best);
    if (candidates.length === 0) return best;
    const verdicts = await fails(candidates);
    const failing = candidates.filter((_, i) => verdicts[i]);
    if (failing.length === 0) return best;
    best = failing.reduce((a, b) => (b.lines.length < a.lines.length ? b : a));
  }
  return best;
}

/** The program without each of its aligned pieces of every power-of-two length. */
export function shorterPrograms(program: OracleProgram): OracleProgram[] {
  const { mode, lines } = program;
  const candidates: OracleProgram[] = [];
  for (let length = 1; length < lines.length; length *= 2) {
    for (let start = 0; start < lines.length; start += length) {
      candidates.push({ mode, lines: [...lines.slice(0, start), ...lines.slice(start + length)] });
    }
  }
  return candidates;
}
