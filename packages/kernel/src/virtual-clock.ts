/**
 * Virtual time of a machine in nanoseconds. It moves only when somebody charges time or everybody sleeps.
 *
 * In timed mode the clock shows the running task's own time: two tasks that charge 100 ns each from the same
 * instant both end 100 ns later, and the machine's time is the later of the two.
 */
export class VirtualClock {
  #nowNs = 0;

  /** Nanoseconds since the machine was made, as the running task sees them. */
  get nowNs(): number {
    return this.#nowNs;
  }

  /**
   * Move time forward. Does not sleep.
   *
   * @param ns - span, finite and not negative.
   */
  advance(ns: number): void {
    if (!(ns >= 0 && ns < Number.POSITIVE_INFINITY))
      throw new RangeError(`time moves forward only, got ${ns} ns`);
    this.#nowNs += ns;
  }

  /** Move time forward to an absolute instant; an instant in the past is ignored. */
  advanceTo(ns: number): void {
    if (ns > this.#nowNs) this.#nowNs = ns;
  }

  /** @internal Show another task's time; for the scheduler in timed mode. */
  rewindTo(ns: number): void {
    this.#nowNs = ns;
  }
}
