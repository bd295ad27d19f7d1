import {
  allSteps,
  type Answer,
  type KernelName,
  printStep,
  printYield,
  type Scenario,
} from '../scenario/language.ts';
import type { Exploration, Outcome } from '../scenario/model/explore.ts';

/** A scenario file with what became of it; `exploration` is null when the scenario is not for this kernel. */
export interface Checked {
  readonly file: string;
  readonly scenario: Scenario;
  readonly kernel: KernelName;
  readonly exploration: Exploration | null;
}

/** Whether no schedule breaks what the scenario demands. */
export function holds({ exploration }: Checked): boolean {
  return exploration === null || exploration.outcomes.every(({ failures }) => failures.length === 0);
}

/** For people: a line a scenario; below it the outcomes of a race by the steps in which they differ, and what failed. */
export function checkText(checked: readonly Checked[]): string {
  return checked
    .flatMap(checkLines)
    .map((line) => `${line}\n`)
    .join('');
}

function checkLines(c: Checked): string[] {
  const { file, scenario, kernel, exploration } = c;
  if (exploration === null)
    return [`${scenario.name} is not for ${kernel}: its file says 'kernel ${scenario.kernels.join(' ')}'`];
  const { outcomes, schedules, complete } = exploration;
  const verdict = `${scenario.name} ${holds(c) ? 'holds' : 'FAILS'} on ${kernel}`;
  const extent = complete ? '' : ', and there are more';
  const lines = [
    schedules === 1
      ? verdict
      : `${verdict}: ${count(schedules, 'schedule')}${extent}, ${count(outcomes.length, 'outcome')}`,
  ];
  const told = differing(outcomes);
  for (const outcome of outcomes) {
    if (outcomes.length > 1 || (schedules > 1 && outcome.failures.length > 0))
      lines.push(`  ${count(outcome.schedules, 'schedule')}, such as ${outcome.schedule}:`);
    const unlike = outcome.answers.filter(({ index }) => told.has(index));
    lines.push(...unlike.map((answer) => `    ${answerText(scenario, answer)}`));
    lines.push(...outcome.failures.map((failure) => `    FAILED ${failure}`));
    if (outcome.unsafe !== null) lines.push(`    a real kernel would not survive this: ${outcome.unsafe}`);
    if (schedules > 1 && outcome.failures.length > 0)
      lines.push(`    step by step: gpusvm check ${file} --kernel ${kernel} --schedule ${outcome.schedule}`);
  }
  return lines;
}

/** Steps that do not come out the same in all outcomes. */
function differing(outcomes: readonly Outcome[]): Set<number> {
  const seen = new Map<number, string>();
  const out = new Set<number>();
  for (const answer of outcomes.flatMap(({ answers }) => answers)) {
    const text = printYield(answer);
    if ((seen.get(answer.index) ?? text) !== text) out.add(answer.index);
    seen.set(answer.index, text);
  }
  return out;
}

function count(n: number, what: string): string {
  return `${n.toLocaleString('en')} ${what}${n === 1 ? '' : 's'}`;
}

/** What a step came to, in the scenario language, with its line. */
export function answerText(scenario: Scenario, answer: Answer): string {
  const step = allSteps(scenario)[answer.index]!;
  const bare = { ...step, expect: { results: [{ kind: 'ok' } as const], pages: null, faults: null } };
  return `line ${step.line}: ${printStep(bare)} = ${printYield(answer)}`;
}

/** For machines; see README. */
export function checkJson(checked: readonly Checked[]): string {
  const results = checked.map((c) => ({
    file: c.file,
    scenario: c.scenario.name,
    kernel: c.kernel,
    verdict: c.exploration === null ? 'skipped' : holds(c) ? 'holds' : 'fails',
    schedules: c.exploration?.schedules ?? 0,
    complete: c.exploration?.complete ?? true,
    outcomes: (c.exploration?.outcomes ?? []).map(({ answers, ...outcome }) => ({
      ...outcome,
      steps: answers.map((answer) => {
        const { line } = allSteps(c.scenario)[answer.index]!;
        return { line, errno: answer.errno, values: answer.values };
      }),
    })),
  }));
  return `${JSON.stringify({ version: 1, results }, null, 2)}\n`;
}
