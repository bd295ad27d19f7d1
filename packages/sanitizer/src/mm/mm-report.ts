import type { MmRuleId } from './mm-rule.ts';

/** One breach of one rule on mm. */
export interface MmReport {
  readonly rule: MmRuleId;
  /** Name of the rule, for instance `STALE_PFN`. */
  readonly name: string;
  /** Task that was running. */
  readonly task: string;
  /** The whole finding as text of one line or a few. */
  readonly message: string;
}

/** Thrown in the middle of the offending call when the mode is `stop`. */
export class MmSanitizerError extends Error {
  readonly report: MmReport;

  constructor(report: MmReport) {
    super(report.message);
    this.name = `MmSanitizerError ${report.rule}`;
    this.report = report;
  }
}
