import type { RuleId } from './rule-id.ts';

/** What the sanitizer does with a finding: keep a report, throw {@link SanitizerError}, or only count it. */
export type SanitizerMode = 'report' | 'stop' | 'count';

/** A range of a device's address space with those who mapped it. */
export interface ReportedRange {
  /** DMA address in bytes. */
  readonly addrBytes: number;
  /** From the reservation's first page; equal to `addrBytes` for mappings outside of a reservation. */
  readonly offsetBytes: number;
  readonly sizeBytes: number;
  /** Task that mapped it; empty when unknown. */
  readonly task: string;
  /** Number of the call that mapped it, counted over all calls that map or reserve; 0 when unknown. */
  readonly call: number;
  /** Where it was mapped; empty unless its call site was captured, see `callSites`. */
  readonly site: string;
}

/** One breach of one rule. */
export interface Report {
  readonly rule: RuleId;
  /** Name of the rule, for instance `UNLINK_EXACT`. */
  readonly name: string;
  readonly device: string;
  /** Function of the DMA layer that was running; empty outside of it. */
  readonly api: string;
  /** Task that was running. */
  readonly task: string;
  /** Caller of that function. */
  readonly site: string;
  /** The reservation concerned, when there is one. */
  readonly reservation: ReportedRange | null;
  /** The range that the call was about. */
  readonly range: ReportedRange | null;
  /** Offset of the first slot of the range that is not linked; -1 when there is none or it does not matter. */
  readonly firstHoleBytes: number;
  /** What stays mapped, or what the call collided with; the first few. */
  readonly survivors: readonly ReportedRange[];
  /** The whole finding as text of a few lines. */
  readonly message: string;
}

/** Thrown in the middle of the offending call when the mode is `stop`. */
export class SanitizerError extends Error {
  readonly report: Report;

  constructor(report: Report) {
    super(report.message);
    this.name = 'SanitizerError';
    this.report = report;
  }
}

/** Name of set-up code and tests that call the layer without a task (kernel's `Machine`). */
export const OUTSIDE: string = 'outside of any task';

/** Text of a report. */
export function reportText(report: Omit<Report, 'message'>, what: string): string {
  const lines = [`${report.rule} ${report.name}: ${report.device}: ${what}`];
  const { reservation, range } = report;
  if (reservation !== null) {
    lines.push(
      `  reservation 0x${hex(reservation.addrBytes)}, ${reservation.sizeBytes} bytes${by('made', reservation)}`,
    );
  }
  if (range !== null) {
    const from = reservation === null ? 'address' : 'offset';
    lines.push(`  ${from} [0x${hex(range.offsetBytes)}, 0x${hex(range.offsetBytes + range.sizeBytes)})`);
  }
  if (report.firstHoleBytes >= 0) lines.push(`  first hole at offset 0x${hex(report.firstHoleBytes)}`);
  for (const s of report.survivors) {
    lines.push(
      `  still there: [0x${hex(s.offsetBytes)}, 0x${hex(s.offsetBytes + s.sizeBytes)})${by('mapped', s)}`,
    );
  }
  const where = `${report.api === '' ? '' : `in ${report.api} `}${report.site === '' ? '' : `called at ${report.site} `}`;
  lines.push(`  ${where}${who(report.task)}`);
  return lines.join('\n');
}

function by(did: string, range: ReportedRange): string {
  if (range.task === '') return '';
  const call = range.call === 0 ? '' : ` in call ${range.call}`;
  return `, ${did} ${who(range.task)}${call}${range.site === '' ? '' : ` at ${range.site}`}`;
}

function who(task: string): string {
  return task === OUTSIDE ? task : `by task ${task}`;
}

function hex(value: number): string {
  return value < 0 ? `-${(-value).toString(16)}` : value.toString(16);
}
