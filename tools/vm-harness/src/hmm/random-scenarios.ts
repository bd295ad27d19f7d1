import {
  type Answer,
  type Feature,
  generateScenario,
  type KernelName,
  printScenario,
  runScenario,
  type Scenario,
  shrinkScenarioInBatches,
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
  /** Told of differences that did not come again. */
  readonly onUnrepeated: (text: string) => void;
}

interface Found {
  readonly scenario: Scenario;
  /** Sentences; null when the kernel died. */
  readonly differences: readonly string[] | null;
}

/**
 * Run random scenarios on a kernel and on the model, in boots of {@link BATCH}. The model works while the guest does. What
 * differs counts when it does so again in another boot: now and then a kernel thread, such as the one that compacts
 * memory, holds just the page that a migration wants.
 *
 * @returns null when all of them come out the same; else how many do not, and the first one, made as short as it can be
 * while the kernel still differs or dies.
 */
export async function compareRandomScenarios(o: RandomScenariosOptions): Promise<string | null> {
  const found: Found[] = [];
  const { version } = o.kernel;
  for (let done = 0; done < o.count; done += BATCH) {
    const scenarios = Array.from({ length: Math.min(BATCH, o.count - done) }, (_, i) =>
      generateScenario({ seed: o.seed + done + i, kernel: version, features: o.features }),
    );
    found.push(...(await differingTwice(o, scenarios)));
  }
  if (found.length === 0) return null;
  const small = await shrinkScenarioInBatches(found[0]!.scenario, async (candidates) => {
    const safe = candidates.filter(
      (candidate) => runScenario(candidate, { kernel: version }).unsafe === null,
    );
    const first = (await differing(o.kernel, safe))[0]?.scenario;
    return first === undefined ? -1 : candidates.indexOf(first);
  });
  const [alone] = await differing(o.kernel, [small]);
  const names = found.slice(0, 10).map((f) => f.scenario.name);
  const shown =
    alone === undefined ? `not when run alone:\n${foundText(found[0]!)}` : `shrunk:\n${foundText(alone)}`;
  return `${found.length} of ${o.count} scenarios differ (${names.join(', ')}); the first, ${shown}`;
}

function foundText({ scenario, differences }: Found): string {
  return `${printScenario(scenario)}\n${(differences ?? ['the kernel died']).join('\n')}`;
}

async function differingTwice(o: RandomScenariosOptions, scenarios: readonly Scenario[]): Promise<Found[]> {
  const first = await differing(o.kernel, scenarios);
  if (first.length === 0) return [];
  const second = await differing(o.kernel, scenarios);
  const isAgain = (one: Found): boolean => second.some(({ scenario }) => scenario === one.scenario);
  for (const once of first.filter((one) => !isAgain(one))) o.onUnrepeated(foundText(once));
  return first.filter(isAgain);
}

/** The scenarios that come out otherwise on the kernel; if it dies, only the first by which it does. */
async function differing(kernel: BuiltKernel, scenarios: readonly Scenario[]): Promise<Found[]> {
  if (scenarios.length === 0) return [];
  const [ours, theirs] = await Promise.all([
    modelAnswers(scenarios, kernel.version),
    answersOf(kernel, scenarios),
  ]);
  if (theirs instanceof ScenarioDeath) return [{ scenario: scenarios[theirs.index]!, differences: null }];
  return scenarios
    .map((scenario, i) => ({ scenario, differences: compareScenario(scenario, theirs[i]!, ours[i]!) }))
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
