import { EvictionStuck } from '@gpusvm/hmm/test-hmm';
import { errnoName, type KernelProfileName, type SchedulerStrategy, type Task } from '@gpusvm/kernel';
import { isFor } from '../all-steps.ts';
import type { KernelName, Scenario, Step } from '../ast.ts';
import { printStep } from '../print.ts';
import { matches, printYield } from '../values.ts';
import type { Answer } from '../wire.ts';
import { deviceStep } from './device-step.ts';
import { processStep } from './process-step.ts';
import { ScenarioWorld } from './scenario-world.ts';

/** How a scenario is run. */
export interface RunOptions {
  readonly kernel: KernelName;
  /** Seed of the machine; default 1. */
  readonly seed?: number;
  /** Who goes next in a race; default: one thread after the other. */
  readonly strategy?: SchedulerStrategy;
}

/** What became of a scenario. */
export interface ScenarioRun {
  /** One for each step that was done, in the order in which they were. */
  readonly answers: readonly Answer[];
  /** What did not come out as it must, or was left behind; sentences. */
  readonly failures: readonly string[];
  /** Why a real kernel would not survive the scenario; null if it would. */
  readonly unsafe: string | null;
}

/**
 * Run a scenario on the model. Each step's outcome is compared with what the scenario demands; afterwards no device may
 * have a stale mapping, and when everybody has exited nothing may be left.
 */
export function runScenario(scenario: Scenario, o: RunOptions): ScenarioRun {
  const profile: KernelProfileName = o.kernel === 'next' ? 'next' : `linux-${o.kernel}`;
  const strategy = o.strategy === undefined ? {} : { strategy: o.strategy };
  const world = new ScenarioWorld(scenario, { profile, seed: o.seed ?? 1, ...strategy });
  const run = new Run(world, o.kernel);
  try {
    world.machine.run(run.all(scenario));
    for (const { kind, count, detail } of world.machine.ledger.live()) {
      if (count > 0) run.failures.push(`left behind: ${count} ${kind} (${detail})`);
    }
  } catch (error) {
    if (!(error instanceof EvictionStuck)) run.failures.push(`stopped: ${(error as Error).message}`);
  }
  return { answers: run.answers, failures: run.failures, unsafe: run.unsafe };
}

class Run {
  readonly answers: Answer[] = [];
  readonly failures: string[] = [];
  unsafe: string | null = null;
  readonly #world: ScenarioWorld;
  readonly #kernel: KernelName;
  #steps = 0;

  constructor(world: ScenarioWorld, kernel: KernelName) {
    this.#world = world;
    this.#kernel = kernel;
  }

  *all(scenario: Scenario): Task<void> {
    for (const block of scenario.blocks) {
      if (block.kind === 'steps') {
        yield* this.#sequence(block.steps, this.#take(block.steps.length));
        continue;
      }
      const threads = block.threads.map(({ name, steps }) =>
        this.#world.machine.spawn(this.#sequence(steps, this.#take(steps.length)), name),
      );
      while (threads.some((thread) => !thread.ended)) yield { kind: 'sleep', ns: 1000, poll: true };
    }
    this.#staleMappings();
    yield* this.#sequence(scenario.must, this.#take(scenario.must.length));
    this.#staleMappings();
    yield* this.#world.tearDown();
  }

  /** Numbers for steps, in order of the text whatever the schedule. */
  #take(count: number): number {
    this.#steps += count;
    return this.#steps - count;
  }

  *#sequence(steps: readonly Step[], firstIndex: number): Task<void> {
    for (const [i, step] of steps.entries()) {
      if (!isFor(step, this.#kernel)) continue;
      const answer = yield* this.#step(step, firstIndex + i);
      this.answers.push(answer);
      this.#judge(step, answer);
    }
  }

  *#step(step: Step, index: number): Task<Answer> {
    const world = this.#world;
    const process = world.process(step.process);
    if (step.device === null) {
      const what = step.what as Parameters<typeof processStep>[2];
      const result = yield* this.#guarded(step, processStep(world, process, what));
      return { index, ...yielded(result), pages: -1, faults: -1 };
    }
    const what = step.what as Parameters<typeof deviceStep>[3];
    const { result, counts } = yield* this.#guarded(step, deviceStep(world, process, step.device, what));
    this.#lookForCrash(step);
    return { index, ...yielded(result), pages: counts?.pages ?? -1, faults: counts?.faults ?? -1 };
  }

  /** An eviction that waits for ever ends the scenario. */
  *#guarded<T>(step: Step, task: Task<T>): Task<T> {
    try {
      return yield* task;
    } catch (error) {
      if (error instanceof EvictionStuck) this.unsafe ??= `line ${step.line}: ${error.message}`;
      throw error;
    }
  }

  #judge(step: Step, answer: Answer): void {
    const { expect } = step;
    const where = `line ${step.line}: ${printStep(step)}`;
    if (!matches(expect.results, answer)) this.failures.push(`${where}, but came out ${printYield(answer)}`);
    if (expect.pages !== null && expect.pages !== answer.pages) {
      this.failures.push(`${where}, but copied ${answer.pages} pages`);
    }
    if (expect.faults !== null && expect.faults !== answer.faults) {
      this.failures.push(`${where}, but took ${answer.faults} fault rounds`);
    }
  }

  #lookForCrash(step: Step): void {
    for (const mirror of this.#world.mirrors()) {
      const why =
        mirror.dummyFaults > 0
          ? 'the device faulted on a page of its own (finding F2)'
          : 'the device has no single pages to fall back to (finding F7)';
      if (mirror.dummyFaults + mirror.nullPages > 0) this.unsafe ??= `line ${step.line}: ${why}`;
    }
  }

  #staleMappings(): void {
    for (const mirror of this.#world.mirrors()) {
      for (const text of mirror.stale())
        this.failures.push(`stale mapping of ${mirror.device.name}: ${text}`);
    }
  }
}

function yielded(result: number | readonly (number | string)[]): Pick<Answer, 'errno' | 'values'> {
  if (typeof result !== 'number') return { errno: null, values: result };
  return { errno: result < 0 ? errnoName(result).slice(1) : null, values: null };
}
