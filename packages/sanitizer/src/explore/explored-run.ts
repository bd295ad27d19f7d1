import { DeadlockError, Machine, type SchedulerStrategy, type TaskHandle } from '@gpusvm/kernel';
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

/** One run of an exploration, and the states that it passes. */
export class ExploredRun<C> {
  /** What is shared, once it is set up. */
  context: C | null = null;
  /** The racing tasks. */
  readonly handles: TaskHandle[] = [];
  readonly #program: Exploration<C>;
  /** Way of each task so far, as a number, by the task's number. */
  readonly #ways = new Map<number, number>();
  #machine: Machine | null = null;

  constructor(program: Exploration<C>) {
    this.#program = program;
  }

  /**
   * Run to the end; the search's own exceptions pass through.
   *
   * @param isOwn - whether an exception is the search's.
   * @returns what went wrong, null when nothing did.
   */
  run(strategy: SchedulerStrategy, isOwn: (error: unknown) => boolean, seed?: number): Fault | null {
    const { tasks, atEnd } = this.#program;
    const machine = new Machine({
      ...this.#program.machine,
      ...(seed === undefined ? {} : { seed }),
      strategy,
    });
    this.#machine = machine;
    try {
      const context = this.#program.setup(machine);
      this.context = context;
      for (const [name, task] of Object.entries(tasks)) this.handles.push(machine.spawn(task(context), name));
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
    if (this.context === null || this.#program.digest === undefined) return '';
    const places = this.#machine!.scheduler.tasks().map(({ id, at, state }) => `${id} ${at} ${state}`);
    return `${this.#program.digest(this.context)}|${places.join()}`;
  }

  /** A task has made a step: remember its way. */
  follow(task: TaskHandle, ways: Ways): void {
    this.#ways.set(task.id, ways.step(this.#ways.get(task.id) ?? 0, task.at));
  }

  /** The state, and how each task came there, those included that tasks have spawned. */
  get key(): string {
    const ways = [...this.#ways].sort(([a], [b]) => a - b).map(([id, way]) => `${id}:${way}`);
    return `${this.digest}|${ways.join()}`;
  }

  /** Digest of what is shared; empty before the set-up is done. */
  get digest(): string {
    return this.context === null ? '' : (this.#program.digest?.(this.context) ?? '');
  }

  #firstBroken(
    kind: 'invariant' | 'end',
    properties: Readonly<Record<string, Property<C>>> | undefined,
  ): Fault | null {
    for (const [name, property] of Object.entries(properties ?? {})) {
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
