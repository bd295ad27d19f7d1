import { allSteps, type Answer, printAnswer, printStep, type Scenario } from '@gpusvm/lab/scenario-language';

/** The model's value for content that nobody knows: it stands for every other one. */
const UNKNOWN = 2 ** 32;

/** What differs between the answers of a kernel and those of the model; sentences that name scenario and step. */
export function compareScenario(
  scenario: Scenario,
  kernel: readonly Answer[],
  model: readonly Answer[],
): string[] {
  const steps = [...allSteps(scenario)];
  const out: string[] = [];
  for (let i = 0; i < Math.max(kernel.length, model.length); i++) {
    const ours = model[i];
    const theirs = kernel[i];
    if (ours !== undefined && theirs !== undefined && same(theirs, ours)) continue;
    const step = steps[(ours ?? theirs)!.index]!;
    out.push(`${scenario.name}, ${printStep(step)}: kernel ${text(theirs)}, model ${text(ours)}`);
  }
  return out;
}

function same(kernel: Answer, model: Answer): boolean {
  const values = model.values?.map((value, i) => (value === UNKNOWN ? (kernel.values?.[i] ?? value) : value));
  return printAnswer(kernel) === printAnswer({ ...model, values: values ?? null });
}

function text(answer: Answer | undefined): string {
  return answer === undefined ? 'nothing' : `'${printAnswer(answer)}'`;
}
