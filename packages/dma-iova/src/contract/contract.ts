/**
 * One statement that an implementation must satisfy. A suite is an array of them, free of any test framework:
 * `for (const c of suite) it(c.name, () => c.run())`. A check throws an Error that says what differs.
 */
export interface ContractCheck {
  readonly name: string;
  readonly run: () => void;
}

/** Throw unless both are the same by value. */
export function same(actual: unknown, expected: unknown, what: string): void {
  const a = JSON.stringify(actual);
  const b = JSON.stringify(expected);
  if (a !== b) throw new Error(`${what}: got ${a}, expected ${b}`);
}

/** Small deterministic generator (a linear congruence), so that suites need no dependency. */
export class ContractRandom {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** An integer in `[0, n)`. */
  below(n: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.#state / 4294967296) * n);
  }
}
