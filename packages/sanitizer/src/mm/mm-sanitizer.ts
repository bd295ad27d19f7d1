import type { FolioTable } from '@gpusvm/hmm';
import type { Machine } from '@gpusvm/kernel';
import type { SanitizerMode } from '../report.ts';
import { MM_RULES } from '../rules/mm/mm-rules.ts';
import { MmLedger } from './mm-ledger.ts';
import { type MmReport, MmSanitizerError } from './mm-report.ts';
import type { MmRule, MmRuleId } from './mm-rule.ts';
import { MmState } from './mm-state.ts';

/** Reports kept; later ones are counted only. */
const MOST_REPORTS = 1000;

/** How an {@link MmSanitizer} is attached. */
export interface MmSanitizerOptions {
  readonly folios: FolioTable;
  /** Keep reports, stop at the first with an exception, or only count. */
  readonly mode: SanitizerMode;
  /** Rules by number; default all. */
  readonly rules?: readonly MmRuleId[];
  /** Called with every report, also in mode `stop` before the exception. */
  readonly onReport?: (report: MmReport) => void;
}

/**
 * Watches address spaces, notifiers, migrations and their users, and compares what they do with invariants S1 to S22 of
 * HMM and with the lock order. It listens to tracepoints only: with no sanitizer attached nothing of it runs. What a
 * device does is known only of drivers that tell it (hmm's device-tracepoints.ts).
 */
export class MmSanitizer {
  readonly #ledger: MmLedger;
  readonly #mode: SanitizerMode;
  readonly #onReport: ((report: MmReport) => void) | undefined;
  readonly #reports: MmReport[] = [];
  /** What sweeps have found. */
  readonly #said = new Set<string>();
  /** The state is looked at, not an event. */
  #sweeps = false;
  readonly #counts = new Map<MmRuleId, number>();

  /** Use {@link attachMmSanitizer}. @internal */
  constructor(machine: Machine, options: MmSanitizerOptions) {
    this.#mode = options.mode;
    this.#onReport = options.onReport;
    const state = new MmState(machine, options.folios, (rule, what) => this.#add(machine, rule, what));
    this.#ledger = new MmLedger(state, chosen(options.rules));
    this.#ledger.listen();
  }

  /** What was found so far, oldest first; at most 1000. Empty in mode `count`. */
  get reports(): readonly MmReport[] {
    return this.#reports;
  }

  /** Breaches of a rule, or of all rules. */
  count(rule?: MmRuleId): number {
    if (rule !== undefined) return this.#counts.get(rule) ?? 0;
    let sum = 0;
    for (const n of this.#counts.values()) sum += n;
    return sum;
  }

  /** Rules that were broken, in the order of their numbers. */
  brokenRules(): MmRuleId[] {
    return MM_RULES.filter((rule) => this.#counts.has(rule.id)).map((rule) => rule.id);
  }

  /**
   * Look at the whole state: every page structure and every page-table entry. To be called between two steps, by an
   * explorer in every state. Cost: what there is.
   */
  check(): void {
    this.#sweeps = true;
    try {
      this.#ledger.run('sweep', null);
    } finally {
      this.#sweeps = false;
    }
  }

  /** The machine goes, and nothing is under way any more: look at everything, stop listening. Returns all reports. */
  finish(): readonly MmReport[] {
    this.#ledger.run('ending', null);
    this.check();
    this.#sweeps = true;
    this.#ledger.run('finish', null);
    this.#ledger.stop();
    return this.reports;
  }

  /** Stop listening, without any check. */
  detach(): void {
    this.#ledger.stop();
  }

  #add(machine: Machine, rule: MmRule, what: string): void {
    if (this.#sweeps) {
      // A state that is wrong stays so from one look to the next.
      const text = `${rule.id} ${what}`;
      if (this.#said.has(text)) return;
      this.#said.add(text);
    }
    this.#counts.set(rule.id, (this.#counts.get(rule.id) ?? 0) + 1);
    if (this.#mode === 'count') return;
    const task = machine.currentTask().name;
    const report = { rule: rule.id, name: rule.name, task, message: `${rule.id} ${rule.name}: ${what}` };
    if (this.#reports.length < MOST_REPORTS) this.#reports.push(report);
    this.#onReport?.(report);
    if (this.#mode === 'stop') throw new MmSanitizerError(report);
  }
}

/**
 * Attach a sanitizer to the mm of a machine. What exists already is looked at by sweeps only.
 *
 * @throws RangeError for an unknown rule.
 */
export function attachMmSanitizer(machine: Machine, options: MmSanitizerOptions): MmSanitizer {
  return new MmSanitizer(machine, options);
}

function chosen(ids: readonly MmRuleId[] | undefined): readonly MmRule[] {
  if (ids === undefined) return MM_RULES;
  return ids.map((id) => {
    const rule = MM_RULES.find((r) => r.id === id);
    if (rule === undefined) throw new RangeError(`no rule ${id}: rules are S1 to S22 and LOCK`);
    return rule;
  });
}
