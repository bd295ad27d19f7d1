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

/** One run of an exploration, and the states that it passes. */
export class ExploredRun<C> {
  /** What is shared, once it is set up. */
  context: C | null = null;
  /** The racing tasks. */
  readonly handles: TaskHandle[] = [];
  readonly #program: Exploration<C>;

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
    return `${this.#program.digest(this.context)}|${this.handles.map(({ at, state }) => `${at} ${state}`).join()}`;
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
