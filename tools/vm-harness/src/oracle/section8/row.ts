import type { OracleBackend } from '../oracle-model.ts';
import { withoutNotes } from '../kernel-log.ts';
import type { OracleMode, OracleProgram } from '../program.ts';

/**
 * A row of section 8 of the specification as a program. A line may say what was recorded: `=> result`, or
 * `=> on VT-d | on AMD` where they differ; and `~ orders` for the invalidations that the call causes on a VT-d
 * without caching mode, `-` for none and `domain` for a flush of the domain.
 */
export interface Section8Row {
  readonly no: number;
  readonly title: string;
  readonly mode: OracleMode;
  /** The kernel is booted with iommu.forcedac=1. */
  readonly forcedac: boolean;
  readonly lines: readonly string[];
}

export interface RowOptions {
  readonly mode?: OracleMode;
  readonly forcedac?: boolean;
}

export function row(no: number, title: string, lines: readonly string[], o: RowOptions = {}): Section8Row {
  return { no, title, mode: o.mode ?? 'strict', forcedac: o.forcedac ?? false, lines };
}

/** The row as the module takes it. */
export function programOf(row: Section8Row): OracleProgram {
  return { mode: row.mode, lines: row.lines.map(callOf) };
}

/** Lines of the transcript that differ from what was recorded. */
export function breaches(row: Section8Row, backend: OracleBackend, transcript: readonly string[]): string[] {
  return row.lines.flatMap((line, i) => {
    const recorded = recordedResult(line, backend);
    if (recorded === null || withoutNotes(transcript[i] ?? '') === `${callOf(line)} = ${recorded}`) return [];
    return [`row ${row.no}: recorded ${callOf(line)} = ${recorded}, got ${transcript[i] ?? 'nothing'}`];
  });
}

/** Orders of the invalidations that were recorded for a line; null when none were. */
export function recordedOrders(line: string): readonly (number | 'domain')[] | null {
  const text = /~ (.*)$/.exec(line)?.[1];
  if (text === undefined) return null;
  return text === '-' ? [] : text.split(' ').map((order) => (order === 'domain' ? order : Number(order)));
}

function callOf(line: string): string {
  return line.split(/ =>| ~/)[0]!.trim();
}

function recordedResult(line: string, backend: OracleBackend): string | null {
  const text = /=> ([^~]*)/.exec(line)?.[1];
  if (text === undefined) return null;
  const [vtd, amd] = text.split(' | ');
  return (backend === 'amdv1' ? (amd ?? vtd!) : vtd!).trim();
}
