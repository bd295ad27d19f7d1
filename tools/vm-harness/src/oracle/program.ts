import { withoutMachine } from './kernel-log.ts';

/**
 * How the device reaches memory while a program runs: the domain is new for every program. `untrusted` is `strict` for a
 * device that must not see more than its buffers.
 */
export type OracleMode = 'strict' | 'lazy' | 'untrusted' | 'identity';

/**
 * A program of DMA API calls on one device that has just appeared (40-bit mask, empty IOVA space, every WARN_ONCE
 * armed). A line is a call with hexadecimal arguments; README.md lists the calls.
 */
export interface OracleProgram {
  readonly mode: OracleMode;
  readonly lines: readonly string[];
}

/**
 * What one program did: its calls with their results, such as `link 0 0 0 1000 0 0 = -98` or `sync 0 0 0 = 0`, and what
 * the kernel logged meanwhile: `!1 [dma_iova_unlink]`.
 */
export interface OracleTranscript {
  /** Result of the reset before the program; anything but 0 makes the rest worthless. */
  readonly reset: number;
  readonly lines: readonly string[];
}

/** Bytes of physically contiguous, aligned test memory; a physical address below it is an offset in it. */
export const ORACLE_MEMORY_BYTES: number = 16 * 2 ** 20;
/** Slots for states (`dma_iova_state`) and for mappings; numbers wrap. */
export const ORACLE_SLOTS = 64;

/** Text that the module takes: programs one after the other, each begun by its own line. */
export function formatPrograms(programs: readonly OracleProgram[]): string {
  return programs.map((p) => [`program ${p.mode}`, ...p.lines, ''].join('\n')).join('');
}

/** Split what the module returned into one transcript a program. */
export function parseTranscripts(text: string): OracleTranscript[] {
  const transcripts: { reset: number; lines: string[] }[] = [];
  for (const line of text.split('\n')) {
    const start = /^program \w+ = (-?\d+)$/.exec(line);
    if (start !== null) transcripts.push({ reset: Number(start[1]), lines: [] });
    else if (line !== '') transcripts.at(-1)?.lines.push(withoutMachine(line));
  }
  return transcripts;
}
