import type { OracleProgram, OracleTranscript } from './program.ts';

/** The first line in which two transcripts of a program differ. */
export interface OracleDifference {
  /** Index of the program. */
  readonly program: number;
  /** Index of the line. */
  readonly line: number;
  readonly kernel: string;
  readonly model: string;
}

/** The first difference of each program whose transcripts differ. */
export function compareTranscripts(
  kernel: readonly OracleTranscript[],
  model: readonly OracleTranscript[],
): OracleDifference[] {
  return kernel.flatMap((transcript, program) => {
    const other = model[program]?.lines ?? [];
    const length = Math.max(transcript.lines.length, other.length);
    for (let line = 0; line < length; line++) {
      if (transcript.lines[line] === other[line]) continue;
      const shown = (text: string | undefined): string => text ?? '(nothing)';
      return [{ program, line, kernel: shown(transcript.lines[line]), model: shown(other[line]) }];
    }
    return [];
  });
}

/** A difference with the program that leads to it, for a person. */
export function describeDifference(difference: OracleDifference, programs: readonly OracleProgram[]): string {
  const { mode, lines } = programs[difference.program]!;
  return [
    `program ${difference.program}, line ${difference.line}:`,
    `  kernel: ${difference.kernel}`,
    `  model:  ${difference.model}`,
    `program ${mode}`,
    ...lines,
  ].join('\n');
}
