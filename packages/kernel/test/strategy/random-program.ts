import {
  Completion,
  DeadlockError,
  Machine,
  Mutex,
  RwSem,
  type SchedulerStrategy,
  SharedCell,
  schedPoint,
  type Task,
  WaitQueue,
} from '@gpusvm/kernel';

/** Names of the statements that random programs are made of, for reports. */
export type Statement = readonly [op: string, object: number, value: number];

/** One list of statements a task. */
export type Program = readonly (readonly Statement[])[];

/** A shared variable: one that notes its accesses, or one that does not. */
interface Cell {
  get(): number;
  set(value: number): void;
}

const OPS = [
  'add',
  'copy',
  'lock',
  'try',
  'read',
  'write',
  'wait',
  'post',
  'choose',
  'sleep',
  'until',
  'fork',
];
const POINT = schedPoint('statement');

/** A program from a seed: two or three tasks over two shared cells, two mutexes, an rwsem and a completion. */
export function randomProgram(seed: number, cells: 'noted' | 'silent' = 'noted'): Program {
  const { choice } = new Machine({ seed });
  const tasks = 2 + choice.choose(2);
  const statements = Array.from({ length: tasks }, () =>
    Array.from(
      { length: 1 + choice.choose(tasks === 2 ? 4 : 3) },
      (): Statement => [OPS[choice.choose(OPS.length)]!, choice.choose(2), 1 + choice.choose(3)],
    ),
  );
  return Object.assign(statements, { silent: cells === 'silent' });
}

/** Run a program; how it ends, in words that tell any two different ends apart. */
export function runProgram(program: Program, strategy: SchedulerStrategy, onMade?: (m: Rig) => void): string {
  const rig = new Rig(strategy, 1, 'silent' in program && program.silent === true);
  onMade?.(rig);
  program.forEach((statements, i) => rig.machine.spawn(rig.task(statements, i), `task ${i + 1}`));
  let end = 'done';
  try {
    rig.machine.drain();
  } catch (error) {
    if (!(error instanceof DeadlockError)) throw error;
    end = error.tasks.map((task) => `${task.name} waits for ${task.waitingFor?.label}`).join(', ');
  }
  return `${rig.state()} ${end}`;
}

/** What a random program runs on. */
export class Rig {
  readonly machine: Machine;
  readonly #cells: Cell[];
  /** What each task has seen; nobody else looks. */
  readonly #locals: number[][] = [];
  readonly #mutexes: Mutex[];
  readonly #sem: RwSem;
  readonly #completion: Completion;
  readonly #queue: WaitQueue;
  #posted = 0;

  constructor(strategy: SchedulerStrategy, seed = 1, silent = false) {
    this.machine = new Machine({ strategy, seed });
    const { scheduler } = this.machine;
    const cell = (): Cell => (silent ? silentCell() : new SharedCell(scheduler, 0));
    this.#cells = [cell(), cell()];
    this.#mutexes = [new Mutex(this.machine, 'a'), new Mutex(this.machine, 'b')];
    this.#sem = new RwSem(this.machine, 's');
    this.#completion = new Completion(this.machine, 'c');
    this.#queue = new WaitQueue(scheduler, 'q');
  }

  /** Everything that is shared, and what each task has seen. */
  state(): string {
    return JSON.stringify([this.#cells.map((cell) => cell.get()), this.#posted, this.#locals]);
  }

  /** What is shared beside locks and the completion. */
  shared(): string {
    return JSON.stringify([this.#cells.map((cell) => cell.get()), this.#posted]);
  }

  *task(statements: readonly Statement[], index: number): Task<void> {
    const seen: number[] = [];
    this.#locals[index] = seen;
    for (const statement of statements) {
      yield POINT;
      yield* this.#run(statement, seen, index);
    }
  }

  *#run([op, object, value]: Statement, seen: number[], index: number): Task<void> {
    const cell = this.#cells[object]!;
    const mutex = this.#mutexes[object]!;
    switch (op) {
      case 'add':
        cell.set(cell.get() * 2 + value);
        break;
      case 'copy':
        seen.push(cell.get());
        break;
      case 'lock':
        yield* mutex.lock();
        yield POINT;
        if (value === 3) yield* this.#mutexes[1 - object]!.lock();
        cell.set(cell.get() + value);
        yield POINT;
        if (value === 3) this.#mutexes[1 - object]!.unlock();
        mutex.unlock();
        break;
      case 'try':
        seen.push(mutex.tryLock() ? 1 : 0);
        yield POINT;
        if (seen.at(-1) === 1) mutex.unlock();
        break;
      case 'read':
        yield* this.#sem.downRead();
        yield POINT;
        seen.push(cell.get());
        this.#sem.upRead();
        break;
      case 'write':
        yield* this.#sem.downWrite();
        cell.set(value);
        yield POINT;
        this.#sem.upWrite();
        break;
      case 'wait':
        if (object === 0) yield* this.#completion.wait();
        else yield* this.#queue.waitUntil(() => this.#posted > 0);
        break;
      case 'post':
        if (object === 0) {
          this.#completion.complete();
        } else {
          this.#posted++;
          this.#queue.wakeAll();
        }
        break;
      case 'choose':
        seen.push(this.machine.choose(2));
        if (seen.at(-1) === 1) cell.set(value);
        break;
      case 'sleep':
        yield { kind: 'sleep', ns: value };
        break;
      case 'until':
        for (let round = 0; cell.get() === 0 && round < 3; round++)
          yield { kind: 'sleep', ns: 1, poll: true };
        seen.push(cell.get());
        break;
      default:
        this.machine.spawn(this.#child(cell, value), `child of ${index + 1}`);
    }
  }

  *#child(cell: Cell, value: number): Task<void> {
    const before = cell.get();
    yield POINT;
    cell.set(cell.get() * 3 + before + value);
  }
}

function silentCell(): Cell {
  let value = 0;
  return {
    get: () => value,
    set: (next) => {
      value = next;
    },
  };
}
