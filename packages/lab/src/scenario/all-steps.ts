import type { Block, KernelName, Scenario, Step, Thread } from './ast.ts';

/** Every step in order of the text. */
export function allSteps(scenario: Scenario): Step[] {
  const threads = (block: Block): readonly Thread[] =>
    block.kind === 'race' ? block.threads : [{ name: '', steps: block.steps }];
  return [...scenario.blocks.flatMap((b) => threads(b).flatMap((t) => t.steps)), ...scenario.must];
}

/** Whether a step is done on a kernel. */
export function isFor(step: Step, kernel: KernelName): boolean {
  return step.only.length === 0 || step.only.includes(kernel);
}
