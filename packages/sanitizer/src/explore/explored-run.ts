import { DeadlockError, Machine, type SchedulerStrategy, type Task, type TaskHandle } from '@gpusvm/kernel';
import type { Exploration, ExplorationFailure, Property } from './exploration.ts';

/** What went wrong, before its schedule is known. */
export type Fault = Pick<ExplorationFailure, 'kind' | 'name' | 'message'>;

/** Ends a run in the state that breaks an invariant. */
class Broken extends Error {
  readonly fault: Fault;

  constructor(fault: Fault) {
    super(fault.message);
    this.fault = fault;
  }
}

/** Numbers for ways from suspension point to suspension point. */
export class Ways {
  readonly #ids = new Map<string, number>();

  /** The number of a way with one more point. */
  step(way: number, point: string): number {
    const name = `${way} ${point}`;
    const known = this.#ids.get(name) ?? this.#ids.size + 1;
    this.#ids.set(name, known);
    return known;
  }
}

type Named<T> = readonly (readonly [name: string, T])[];

/** An exploration with what every run goes through laid out once: a run may be no longer than a few microseconds. */
export class PreparedProgram<C> {
  readonly machine: Exploration<C>['machine'];
  readonly setup: (machine: Machine) => C;
  readonly digest: ((context: C) => string) | null;
  readonly tasks: Named<(context: C) => Task<unknown>>;
  readonly invariants: Named<Property<C>>;
  readonly atEnd: Named<Property<C>>;

  constructor(program: Exploration<C>) {
    const { machine, tasks, invariants = {}, atEnd = {} } = program;
    this.machine = machine;
    this.setup = (made) => program.setup(made);
    this.digest = program.digest === undefined ? null : (context) => program.digest!(context);
    this.tasks = Object.entries(tasks);
    this.invariants = Object.entries(invariants);
    this.atEnd = Object.entries(atEnd);
  }
}

/** One run of an exploration, and the states that it passes. */
export class ExploredRun<C> {
  /** What is shared, once it is set up. */
  context: C | null = null;
  /** The racing tasks. */
  readonly handles: TaskHandle[] = [];
  readonly #program: PreparedProgram<C>;
  /** Way of each task so far, as a number, by the task's number. */
  #ways: Map<number, number> | null = null;
  #machine: Machine | null = null;
  #digest = '';
  /** Step count that the digest belongs to. */
  #digestStep = -1;

  constructor(program: PreparedProgram<C>) {
    this.#program = program;
  }

  /**
   * Run to the end; the search's own exceptions pass through.
   *
   * @param isOwn - whether an exception is the search's.
   * @returns what went wrong, null when nothing did.
   */
  run(strategy: SchedulerStrategy, isOwn: (error: unknown) => boolean, seed?: number): Fault | null {
    const { tasks, atEnd, machine: options } = this.#program;
    const machine = new Machine(
      seed === undefined ? { ...options, strategy } : { ...options, seed, strategy },
    );
    this.#machine = machine;
    try {
      const context = this.#program.setup(machine);
      this.context = context;
      for (const [name, task] of tasks) this.handles.push(machine.spawn(task(context), name));
      machine.drain();
      this.checkState();
      return this.#firstBroken('end', atEnd);
    } catch (error) {
      if (isOwn(error)) throw error;
      return faultOf(error);
    }
  }

  /** The invariants hold here; to be called between two steps. */
  checkState(): void {
    if (this.context === null) return;
    const fault = this.#firstBroken('invariant', this.#program.invariants);
    if (fault !== null) throw new Broken(fault);
  }

  /** Text that tells the present state from others; empty without a digest. */
  get state(): string {
    if (this.context === null || this.#program.digest === null) return '';
    const places = this.#machine!.scheduler.tasks().map(({ id, at, state }) => `${id} ${at} ${state}`);
    return `${this.digest}|${places.join()}`;
  }

  /** A task has made a step: remember its way. */
  follow(task: TaskHandle, ways: Ways): void {
    this.#ways ??= new Map();
    this.#ways.set(task.id, ways.step(this.#ways.get(task.id) ?? 0, task.at));
  }

  /** The state, and how each task came there, those included that tasks have spawned. */
  get key(): string {
    const ways = [...(this.#ways ?? [])].sort(([a], [b]) => a - b).map(([id, way]) => `${id}:${way}`);
    return `${this.digest}|${ways.join()}`;
  }

  /** Digest of what is shared; empty before the set-up is done. */
  get digest(): string {
    if (this.context === null || this.#program.digest === null) return '';
    // Asked for up to three times between two steps, and often dearer than a step.
    const { steps } = this.#machine!.scheduler;
    if (steps !== this.#digestStep) {
      this.#digestStep = steps;
      this.#digest = this.#program.digest(this.context);
    }
    return this.#digest;
  }

  #firstBroken(kind: 'invariant' | 'end', properties: Named<Property<C>>): Fault | null {
    for (const [name, property] of properties) {
      const message = property(this.context!);
      if (message !== null) return { kind, name, message };
    }
    return null;
  }
}

function faultOf(error: unknown): Fault {
  if (error instanceof Broken) return error.fault;
  if (error instanceof DeadlockError) return { kind: 'deadlock', name: 'deadlock', message: error.message };
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  return { kind: 'exception', name, message };
}
