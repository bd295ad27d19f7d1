import {
  type Answer,
  type Feature,
  generateScenario,
  type KernelName,
  printScenario,
  runScenario,
  type Scenario,
  shrinkScenario,
} from '@gpusvm/lab/scenario';
import type { BuiltKernel } from '../kernel-build.ts';
import { compareScenario } from './compare-scenarios.ts';
import { runScenarios, ScenarioDeath } from './run-scenarios.ts';

/** Scenarios a boot: enough that starting the guest does not matter, few enough that one panic costs little. */
const BATCH = 250;

/** Which random scenarios are compared. */
export interface RandomScenariosOptions {
  readonly kernel: BuiltKernel;
  readonly features: readonly Feature[];
  /** Seed of the first scenario; the others follow. */
  readonly seed: number;
  readonly count: number;
}

interface Found {
  readonly scenario: Scenario;
  /** Sentences; null when the kernel died. */
  readonly differences: readonly string[] | null;
}

/**
 * Run random scenarios on a kernel and on the model, in boots of {@link BATCH}. The model works while the guest does.
 *
 * @returns null when all of them come out the same; else how many do not, and the first one, made as short as it can be
 * while the kernel still differs or dies.
 */
export async function compareRandomScenarios(o: RandomScenariosOptions): Promise<string | null> {
  const found: Found[] = [];
  for (let done = 0; done < o.count; done += BATCH) {
    const count = Math.min(BATCH, o.count - done);
    found.push(...(await differing(o, o.seed + done, count)));
  }
  if (found.length === 0) return null;
  const { scenario } = found[0]!;
  const small = await shrinkScenario(scenario, async (candidate) => {
    return (await look(o.kernel, candidate)) !== null;
  });
  const last = (await look(o.kernel, small))?.differences ?? ['the kernel died'];
  const names = found.slice(0, 10).map((f) => f.scenario.name);
  return `${found.length} of ${o.count} scenarios differ (${names.join(', ')}); the first, shrunk:\n${printScenario(small)}\n${last.join('\n')}`;
}

async function differing(o: RandomScenariosOptions, seed: number, count: number): Promise<Found[]> {
  const version = o.kernel.version as KernelName;
  const scenarios = Array.from({ length: count }, (_, i) =>
    generateScenario({ seed: seed + i, kernel: version, features: o.features }),
  );
  const [kernel, model] = await Promise.all([
    answersOf(o.kernel, scenarios),
    modelAnswers(scenarios, version),
  ]);
  if (kernel instanceof ScenarioDeath) return [{ scenario: scenarios[kernel.index]!, differences: null }];
  return scenarios
    .map((scenario, i) => ({ scenario, differences: compareScenario(scenario, kernel[i]!, model[i]!) }))
    .filter(({ differences }) => differences.length > 0);
}

/** The answers, or how the kernel died. */
async function answersOf(
  kernel: BuiltKernel,
  scenarios: readonly Scenario[],
): Promise<readonly (readonly Answer[])[] | ScenarioDeath> {
  try {
    return (await runScenarios({ kernel, scenarios })).answers;
  } catch (error) {
    if (error instanceof ScenarioDeath) return error;
    throw error;
  }
}

/** One scenario at a time, so that what the guest prints is read meanwhile. */
async function modelAnswers(
  scenarios: readonly Scenario[],
  kernel: KernelName,
): Promise<(readonly Answer[])[]> {
  const out: (readonly Answer[])[] = [];
  for (const scenario of scenarios) {
    out.push(runScenario(scenario, { kernel }).answers);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return out;
}

/** What is wrong with one scenario, null for nothing; a kernel need not survive what the model calls unsafe. */
async function look(kernel: BuiltKernel, scenario: Scenario): Promise<Found | null> {
  const model = runScenario(scenario, { kernel: kernel.version });
  if (model.unsafe !== null) return null;
  const answers = await answersOf(kernel, [scenario]);
  const differences =
    answers instanceof ScenarioDeath ? null : compareScenario(scenario, answers[0]!, model.answers);
  return differences === null || differences.length > 0 ? { scenario, differences } : null;
}
