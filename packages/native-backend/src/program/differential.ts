import type { Sys } from '../sys.ts';
import type { Program } from './program.ts';
import { randomProgram } from './random-program.ts';
import type { RigDevice } from './rig.ts';
import { ProgramSession } from './run-program.ts';
import { shrinkProgram } from './shrink.ts';

/** Where two systems differ, as short as it can be shown. */
export interface ProgramDifference {
  readonly seed: number;
  readonly program: Program;
  readonly left: readonly string[];
  readonly right: readonly string[];
}

/** What to compare. */
export interface DifferentialOptions {
  readonly device: RigDevice;
  readonly firstSeed: number;
  readonly programs: number;
  /** Stop after so many differences; default 5. */
  readonly mostDifferences?: number;
}

/**
 * Run random programs on two systems and compare their transcripts: results, errnos, out fields, bytes.
 *
 * @param left - makes a system; called again while a difference is shrunk.
 * @returns the differences, each shrunk; none when all programs agree.
 */
export function compareSystems(
  left: () => Sys,
  right: () => Sys,
  o: DifferentialOptions,
): ProgramDifference[] {
  const out: ProgramDifference[] = [];
  let pair = new Pair(left(), right(), o.device);
  for (let seed = o.firstSeed; seed < o.firstSeed + o.programs; seed++) {
    const program = randomProgram(seed, { dma: o.device !== 'mock' });
    if (pair.agree(program)) continue;
    const short = shrinkProgram(program, (p) => !pair.agree(p));
    out.push({ seed, program: short, left: pair.left.run(short), right: pair.right.run(short) });
    if (out.length >= (o.mostDifferences ?? 5)) break;
    // What a differing program left behind must not show up in the next one.
    pair[Symbol.dispose]();
    pair = new Pair(left(), right(), o.device);
  }
  pair[Symbol.dispose]();
  return out;
}

class Pair implements Disposable {
  readonly left: ProgramSession;
  readonly right: ProgramSession;

  constructor(left: Sys, right: Sys, device: RigDevice) {
    this.left = new ProgramSession(left, device);
    this.right = new ProgramSession(right, device);
  }

  agree(program: Program): boolean {
    return this.left.run(program).join('\n') === this.right.run(program).join('\n');
  }

  [Symbol.dispose](): void {
    this.left[Symbol.dispose]();
    this.right[Symbol.dispose]();
  }
}

/** A difference as text: the steps with both transcripts. */
export function describeDifference({ seed, program, left, right }: ProgramDifference): string {
  const lines = program.map((step, i) => {
    const mark = left[i] === right[i] ? ' ' : '!';
    return `${mark} ${JSON.stringify(step)}\n    ${left[i]}${left[i] === right[i] ? '' : `\n    ${right[i]}`}`;
  });
  return `program of seed ${seed}, shrunk to ${program.length} steps:\n${lines.join('\n')}`;
}
