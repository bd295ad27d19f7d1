const LONGEST_PERIOD = 50;
const REPEATS = 3;

/**
 * Shorten a run that ends in a circle: the steps up to the end of the first round, then how often it was gone.
 *
 * @returns the steps as they are when they do not end with the same few steps again and again.
 */
export function foldSteps(steps: readonly string[]): readonly string[] {
  for (let period = 1; period <= LONGEST_PERIOD && period * REPEATS <= steps.length; period++) {
    let start = steps.length - period;
    while (start > 0 && steps[start - 1] === steps[start - 1 + period]) start--;
    const rounds = Math.floor((steps.length - start) / period);
    if (rounds < REPEATS) continue;
    return [...steps.slice(0, start + period), `the last ${period} again, ${rounds - 1} times and more`];
  }
  return steps;
}
