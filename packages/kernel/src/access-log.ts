/**
 * What the running step touches: shared objects by number, read or written, and the tasks that it made runnable.
 * Two steps of different tasks are independent when no object is touched by both and written by one; then their order
 * makes no difference, and a search need not try both.
 */
export class AccessLog {
  /** `2 * object`, plus 1 for a write; `length` entries, repetitions included. */
  entries: Int32Array = new Int32Array(64);
  length = 0;
  /** Numbers of the tasks that the step spawned or woke. */
  readonly enabled: number[] = [];
  /** The step begins or ends with a sleep that polls, so that it depends on every other. */
  polled = false;
  /** A task runs; what happens outside of any belongs to no step. */
  running = false;

  /** The step reads a shared object. */
  read(object: number): void {
    if (this.running) this.add(2 * object);
  }

  /** The step changes a shared object. */
  write(object: number): void {
    if (this.running) this.add(2 * object + 1);
  }

  /** Forget everything: the next step begins. */
  clear(): void {
    this.length = 0;
    if (this.enabled.length > 0) this.enabled.length = 0;
    this.polled = false;
  }

  /** @internal Note an entry, also when the step is over. */
  add(entry: number): void {
    if (this.length > 0 && this.entries[this.length - 1] === entry) return;
    if (this.length === this.entries.length) {
      const grown = new Int32Array(2 * this.length);
      grown.set(this.entries);
      this.entries = grown;
    }
    this.entries[this.length++] = entry;
  }
}
