/** Seeded generator for loops of millions: xorshift32, never 0. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = Math.imul(seed + 1, 0x9e3779b9) | 1;
  }

  /** An integer in `[0, n)`. */
  below(n: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return Math.floor(((x >>> 0) / 4294967296) * n);
  }

  /** One of the given values. */
  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!;
  }
}

/** Throw with the place, for checks inside of loops. */
export function must(actual: number, expected: number, what: () => string): void {
  if (actual !== expected) throw new Error(`${what()}: got ${actual}, expected ${expected}`);
}
