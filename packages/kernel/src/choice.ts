import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import type { RandomGenerator } from 'pure-rand/types/RandomGenerator';

const TWO_31 = 2 ** 31;

/** Answers `choose(n)`; `draw` is what the seed would say. */
export type Decide = (n: number, draw: (n: number) => number) => number;

/**
 * The one source of nondeterminism of a machine: scheduling, allocation failure, trylock outcome and device
 * latency all come from here, so the same seed gives the same trace, byte for byte.
 */
export class Choice {
  readonly seed: number;
  /** Made by the first draw: an explorer makes machines by the hundred thousand, and asks no seed. */
  #generator: RandomGenerator | null = null;
  readonly #decide: Decide | null;
  readonly #draw = (n: number): number => this.#drawOne(n);
  /** Choices made so far. */
  count = 0;

  /**
   * @param seed - an integer of 32 bits, signed or unsigned.
   * @param decide - answers instead of the seed: replay and exhaustive search.
   */
  constructor(seed: number, decide: Decide | null = null) {
    if (!Number.isInteger(seed) || seed < -TWO_31 || seed >= 2 * TWO_31) {
      throw new RangeError(`seed must be an integer of 32 bits, got ${seed}`);
    }
    this.seed = seed;
    this.#decide = decide;
  }

  /**
   * One of `n` alternatives, each equally likely. A single alternative is no choice: nothing is drawn or counted.
   *
   * @param n - number of alternatives, an integer from 1 to 2^31.
   * @returns an integer in `[0, n)`.
   */
  choose(n: number): number {
    if (!Number.isInteger(n) || n < 1 || n > TWO_31) {
      throw new RangeError(`choose takes 1 to 2^31 alternatives, got ${n}`);
    }
    if (n === 1) return 0;
    this.count++;
    if (this.#decide !== null) return this.#decide(n, this.#draw);
    return this.#drawOne(n);
  }

  #drawOne(n: number): number {
    // The draws of the last, incomplete multiple of n are thrown away: they would favour the low alternatives.
    const limit = TWO_31 - (TWO_31 % n);
    const generator = (this.#generator ??= xoroshiro128plus(this.seed | 0));
    let draw: number;
    do draw = generator.next() >>> 1;
    while (draw >= limit);
    return draw % n;
  }
}
