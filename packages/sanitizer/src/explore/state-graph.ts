/** The states that a search has met and the steps between them, to count the ways through. */
export class StateGraph {
  readonly #next = new Map<string, string[]>();
  /** Keys of the present run, by number of steps before. */
  readonly #path: string[] = [];

  /** The run is in a state that its path had not met before, after this many steps. */
  enter(step: number, key: string): void {
    this.#path.length = step;
    const from = this.#path[step - 1];
    if (from !== undefined) this.#leave(from).push(key);
    this.#path.push(key);
  }

  /** The run has ended behind the state that it entered last. */
  end(): void {
    this.#leave(this.#path.at(-1)!).push('');
  }

  /** Ways from the first state to an end: every interleaving counts. Infinity where somebody can go in a circle. */
  count(): number {
    const counts = new Map<string, number>([['', 1]]);
    const first = this.#path[0];
    return first === undefined ? 0 : this.#countFrom(first, counts);
  }

  #countFrom(key: string, counts: Map<string, number>): number {
    const known = counts.get(key);
    if (known !== undefined) return known;
    // Met again on the way from itself: a circle.
    counts.set(key, Number.POSITIVE_INFINITY);
    let sum = 0;
    for (const next of this.#next.get(key) ?? []) sum += this.#countFrom(next, counts);
    counts.set(key, sum);
    return sum;
  }

  #leave(key: string): string[] {
    let next = this.#next.get(key);
    if (next === undefined) {
      next = [];
      this.#next.set(key, next);
    }
    return next;
  }
}
