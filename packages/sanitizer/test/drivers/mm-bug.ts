import { Machine, type Task } from '@gpusvm/kernel';
import { attachMmSanitizer, type MmRuleId, type MmSanitizer } from '@gpusvm/sanitizer';
import { mmProgram, type MmContext } from '../explore/mm-program.ts';

/** A fault of a driver, and a program that is legal without it; two pages are in RAM when it begins. */
export interface MmBug {
  readonly what: string;
  /** Rules of all reports, oldest first. */
  readonly reports: readonly MmRuleId[];
  /** A part of the first message. */
  readonly says: string;
  /** What the model throws afterwards, where it cannot go on. */
  readonly throws?: string;
  readonly patch: (c: MmContext) => void;
  readonly trigger: (c: MmContext) => Task<unknown>;
}

export interface MmOutcome {
  readonly sanitizer: MmSanitizer;
  /** What was thrown, empty when nothing was. */
  readonly thrown: string;
}

/** Run the program, with the fault or without. */
export function runMmBug(bug: MmBug, patched: boolean): MmOutcome {
  const sanitizers: MmSanitizer[] = [];
  const program = mmProgram([], 2, 'ram', ({ machine, folios }) =>
    sanitizers.push(attachMmSanitizer(machine, { folios, mode: 'report' })),
  );
  const c = program.setup(new Machine());
  let thrown = '';
  try {
    if (patched) bug.patch(c);
    c.machine.run(bug.trigger(c));
    c.machine.drain();
  } catch (error) {
    thrown = (error as Error).message;
  }
  sanitizers[0]!.finish();
  return { sanitizer: sanitizers[0]!, thrown };
}
