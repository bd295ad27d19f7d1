import type { Program } from './program.ts';

/**
 * Make a failing program shorter: drop runs of steps, halves first and single ones last, as long as it still fails.
 *
 * @param fails - whether a program fails; called some n log n times.
 * @returns a program that fails and of which no single step can be dropped.
 */
export function shrinkProgram(program: Program, fails: (program: Program) => boolean): Program {
  let current = program;
  for (let size = Math.ceil(current.length / 2); size >= 1; ) {
    let dropped = false;
    for (let at = 0; at < current.length; ) {
      const shorter = [...current.slice(0, at), ...current.slice(at + size)];
      if (fails(shorter)) {
        current = shorter;
        dropped = true;
      } else {
        at += size;
      }
    }
    if (size > 1) size = Math.ceil(size / 2);
    else if (!dropped) break;
  }
  return current;
}
