import type { Sys } from '../sys.ts';
import { KnownArena } from './known-arena.ts';
import { MAP_STEPS } from './map-steps.ts';
import { MEMORY_STEPS } from './memory-steps.ts';
import type { Program, Step } from './program.ts';
import { Rig, type RigDevice } from './rig.ts';
import { RunState, type StepTable } from './run-state.ts';
import { TABLE_STEPS } from './table-steps.ts';

const STEPS: StepTable<Step['op']> = { ...MAP_STEPS, ...TABLE_STEPS, ...MEMORY_STEPS };

/**
 * Run a program on a fresh iommufd and device.
 *
 * @returns one line a step: the step's name, then errno or out fields, then what DMA did. The device and everything
 *   that the program made is disposed.
 */
export function runProgram(sys: Sys, device: RigDevice, program: Program): string[] {
  const session = new ProgramSession(sys, device);
  try {
    return session.run(program);
  } finally {
    session[Symbol.dispose]();
  }
}

/**
 * Runs programs one after the other on one iommufd and one bound device, which spares the reset of the device between
 * them. Each program starts with nothing but the device and the same pattern in the arena.
 */
export class ProgramSession implements Disposable {
  readonly #rig: Rig;
  readonly #known: KnownArena;

  constructor(sys: Sys, device: RigDevice) {
    this.#rig = new Rig(sys, device);
    this.#known = new KnownArena(this.#rig.arena.bytes);
  }

  /** @returns one line a step. */
  run(program: Program): string[] {
    const run = new RunState(this.#rig, this.#known);
    this.#known.reset();
    try {
      return program.map((step) => `${step.op}: ${runStep(run, step)}`);
    } finally {
      run.cleanUp();
    }
  }

  [Symbol.dispose](): void {
    this.#rig[Symbol.dispose]();
  }
}

function runStep<Op extends Step['op']>(run: RunState, step: Extract<Step, { readonly op: Op }>): string {
  return STEPS[step.op](run, step);
}
