/**
 * Sleeping is in the type: a function that may sleep in the kernel returns {@link Task} and is called with `yield*`,
 * which only another such function can do; a function that may not sleep is a plain function.
 */

/** What a task hands to the scheduler when it gives up the processor. */
export type Suspension = BlockSuspension | SleepSuspension | SchedPoint;

/** The task waits until somebody wakes it through the object it waits for. */
export interface BlockSuspension {
  readonly kind: 'block';
  readonly on: Waitable;
}

/** The task sleeps for a span of virtual time. */
export interface SleepSuspension {
  readonly kind: 'sleep';
  readonly ns: number;
  /** The task tries again what failed, which makes no sense before somebody else has done something. */
  readonly poll?: true;
}

/** A place where the scheduler may run somebody else. Yielded only when `scheduler.preemptive` is true. */
export interface SchedPoint {
  readonly kind: 'point';
  readonly name: string;
}

/** Something a task can wait for; named in deadlock reports. */
export interface Waitable {
  /** Kind and name, for instance `rwsem vm.lock`. */
  readonly label: string;
  /**
   * Who has to act before a waiter goes on, if that is known.
   *
   * @param waiter - the task that waits, where the answer depends on it: a queued reader waits for a queued writer.
   */
  owners(waiter?: TaskRef): readonly TaskRef[];
}

/** The part of a task that locks and reports need. */
export interface TaskRef {
  readonly id: number;
  readonly name: string;
}

/** A computation that may sleep. Its steps between two suspensions are atomic. */
export type Task<T> = Generator<Suspension, T, void>;

/**
 * Declare a preemption point once, at module level, and yield it behind the flag:
 * `if (scheduler.preemptive) yield COLLECT;`
 */
export function schedPoint(name: string): SchedPoint {
  return Object.freeze({ kind: 'point', name });
}

/**
 * A task written as a state machine instead of a generator, for the few operations whose undisturbed run must cost
 * no allocation: a lock hands out the same object to everybody, and the running task tells the callers apart.
 */
export abstract class StepTask<T> {
  /** Go on; called by `yield*` for as long as the result is a suspension. */
  abstract next(): IteratorResult<Suspension, T>;

  /** Abandon, as `Generator.return`. */
  return(value: T): IteratorResult<Suspension, T> {
    return { done: true, value };
  }

  /** Pass an error on, as `Generator.throw` of a generator that does not catch. */
  throw(error: unknown): never {
    throw error;
  }

  [Symbol.iterator](): Task<T> {
    return this.asTask();
  }

  /** The same object by the type that callers know; `yield*` and the scheduler use no more of it than is here. */
  asTask(): Task<T> {
    return this;
  }
}

class DoneTask<T> extends StepTask<T> {
  readonly #result: IteratorReturnResult<T>;

  constructor(value: T) {
    super();
    this.#result = { done: true, value };
  }

  next(): IteratorResult<Suspension, T> {
    return this.#result;
  }
}

/** A task that is already done; for operation tables whose operation has nothing to wait for. */
export function done<T>(value: T): Task<T> {
  return new DoneTask(value).asTask();
}
