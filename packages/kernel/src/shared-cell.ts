import type { Scheduler } from './scheduler.ts';

/** A variable that tasks share and whose accesses a search knows, so that it need not take it for everything. */
export class SharedCell<T> {
  readonly #scheduler: Scheduler;
  readonly #object: number;
  #value: T;

  /** @param scheduler - the machine's scheduler. */
  constructor(scheduler: Scheduler, value: T) {
    this.#scheduler = scheduler;
    this.#object = scheduler.newObject();
    this.#value = value;
  }

  /** The value; noted as a read. */
  get(): T {
    this.#scheduler.accesses?.read(this.#object);
    return this.#value;
  }

  /** Change the value; noted as a write. */
  set(value: T): void {
    this.#scheduler.accesses?.write(this.#object);
    this.#value = value;
  }
}
