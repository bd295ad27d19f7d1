import {
  DeadlockError,
  type ExhaustiveOptions,
  ExhaustiveSearch,
  Machine,
  Mutex,
  replay,
  type RunEnd,
  type SchedulerStrategy,
  scheduleLength,
  scheduleText,
  schedPoint,
  SharedCell,
  type Task,
} from '@gpusvm/kernel';
import { expect, it } from 'vitest';
import { type Program, randomProgram, type Rig, runProgram } from './random-program.ts';

const MOST_RUNS = 2000;
const POINT = schedPoint('test');

interface Explored {
  readonly ends: ReadonlySet<string>;
  readonly runs: number;
  readonly whole: boolean;
}

function explore(
  program: Program,
  options: ExhaustiveOptions,
  onMade?: (rig: Rig) => void,
  most = MOST_RUNS,
): Explored {
  const search = new ExhaustiveSearch(options);
  const ends = new Set<string>();
  do {
    search.run((strategy) => ends.add(runProgram(program, strategy, onMade)));
  } while (search.complete + search.redundant <= most && search.next());
  const runs = search.complete + search.redundant;
  return { ends, runs, whole: search.cut === 0 && runs <= most };
}

function sorted({ ends }: Explored): string[] {
  return [...ends].sort();
}

it('meets exactly the end states of the unreduced search on random programs, in far fewer runs', () => {
  let allRuns = 0;
  let runs = 0;
  for (let seed = 1, compared = 0; compared < 150; seed++) {
    const program = randomProgram(seed);
    const full = explore(program, { reduce: false });
    if (!full.whole) continue;
    compared++;
    const reduced = explore(program, { undeclared: 'nothing' });
    const text = `seed ${seed}: ${JSON.stringify(program)}`;
    expect([text, ...sorted(reduced)]).toEqual([text, ...sorted(full)]);
    expect(reduced.runs).toBeLessThanOrEqual(full.runs);
    allRuns += full.runs;
    runs += reduced.runs;
  }
  expect(runs * 8).toBeLessThan(allRuns);
});

it('does so too when shared cells are silent and a digest says what has changed', () => {
  let allRuns = 0;
  let runs = 0;
  for (let seed = 1, compared = 0; compared < 100; seed++) {
    const program = randomProgram(seed, 'silent');
    const full = explore(program, { reduce: false }, undefined, 800);
    if (!full.whole) continue;
    compared++;
    let rig: Rig | null = null;
    const made = (r: Rig): void => {
      rig = r;
    };
    const reduced = explore(program, { undeclared: () => rig!.shared() }, made);
    expect([seed, ...sorted(reduced)]).toEqual([seed, ...sorted(full)]);
    // With nothing known at all it is the unreduced search.
    const blind = explore(program, { undeclared: 'anything' });
    expect([seed, ...sorted(blind)]).toEqual([seed, ...sorted(full)]);
    allRuns += full.runs;
    runs += reduced.runs;
  }
  expect(runs).toBeLessThan(allRuns);
});

it('counts the interleavings of independent steps as one, and all of them unreduced', () => {
  const program: Program = [
    [
      ['add', 0, 1],
      ['add', 0, 1],
    ],
    [
      ['add', 1, 1],
      ['add', 1, 1],
    ],
  ];
  expect(explore(program, { undeclared: 'nothing' }).runs).toBe(1);
  // Three steps a task: 6! / (3! 3!).
  expect(explore(program, { reduce: false }).runs).toBe(20);
});

it('finds a deadlock that needs one switch, and its schedule replays it', () => {
  const search = new ExhaustiveSearch({ undeclared: 'nothing' });
  const found: string[] = [];
  do {
    search.run((strategy) => {
      const { machine } = crossedLocks(strategy);
      try {
        machine.drain();
      } catch (error) {
        if (!(error instanceof DeadlockError)) throw error;
        found.push(scheduleText(search.schedule));
      }
    });
  } while (search.next());
  expect(found.length).toBeGreaterThan(0);
  for (const schedule of found)
    expect(() => crossedLocks(replay(schedule)).machine.drain()).toThrow(DeadlockError);
  expect(() => crossedLocks(replay('-')).machine.drain()).not.toThrow();
});

it('cuts a run that never ends, and says so', () => {
  const search = new ExhaustiveSearch({ steps: 50 });
  const end = search.run((strategy) => {
    const machine = new Machine({ strategy });
    machine.spawn(pollForEver(), 'poller');
    machine.drain();
  });
  expect(end).toBe('cut');
  expect(search.cut).toBe(1);
  expect(search.complete).toBe(0);
});

it('tries every answer of every choice, those of the set-up included', () => {
  const search = new ExhaustiveSearch();
  const seen: string[] = [];
  do {
    search.run((strategy) => {
      const machine = new Machine({ strategy });
      const before = machine.choose(2);
      const inside = machine.run(chooser(machine));
      seen.push(`${before}${inside}`);
    });
  } while (search.next());
  expect(seen).toEqual(['000', '001', '010', '011', '020', '021', '100', '101', '110', '111', '120', '121']);
});

it('explores failures of allocations and of trylocks within their budgets', () => {
  const search = new ExhaustiveSearch();
  const seen = new Set<string>();
  do {
    search.run((strategy) => {
      const machine = new Machine({ strategy });
      machine.faultInjection.chooseFailures(1, ['alloc']);
      machine.faultInjection.chooseTrylocks(1);
      const site = machine.faultInjection.site('alloc');
      const other = machine.faultInjection.site('other');
      const mutex = new Mutex(machine, 'm');
      const bits = [site, other, site].map((s) => (s.shouldFail() ? 1 : 0));
      const locks = [0, 1].map(() => {
        if (!mutex.tryLock()) return 0;
        mutex.unlock();
        return 1;
      });
      seen.add([...bits, ...locks].join(''));
    });
  } while (search.next());
  expect([...seen].sort()).toEqual(
    ['000', '001', '100'].flatMap((a) => ['01', '10', '11'].map((t) => a + t)).sort(),
  );
});

it('visits every state once a path, before the step that leaves it', () => {
  const states: number[] = [];
  let cell: SharedCell<number> | null = null;
  const search = new ExhaustiveSearch({ reduce: false, onState: () => states.push(cell!.get()) });
  do {
    search.run((strategy) => {
      const machine = new Machine({ strategy });
      cell = new SharedCell(machine.scheduler, 0);
      for (const factor of [2, 3]) machine.spawn(scaler(cell, factor), `times ${factor}`);
      machine.drain();
    });
  } while (search.next());
  expect(search.complete).toBe(6);
  expect(new Set(states)).toEqual(new Set([0, 2, 3]));
});

it('stops at a bound on deviations, and refuses to reduce under it', () => {
  const runs = (deviations: number): number => {
    const search = new ExhaustiveSearch({ deviations });
    do {
      search.run(
        (strategy) => void runProgram([[['add', 0, 1]], [['copy', 0, 1]], [['copy', 0, 1]]], strategy),
      );
      expect(scheduleLength(search.schedule)).toBeLessThanOrEqual(deviations);
    } while (search.next());
    return search.complete;
  };
  expect(runs(0)).toBe(1);
  expect(runs(1)).toBeGreaterThan(1);
  expect(runs(6)).toBe(90);
  expect(() => new ExhaustiveSearch({ deviations: 2, reduce: true })).toThrow('equivalent runs');
});

it('goes on from no state twice when a key tells states apart', () => {
  const ends = new Set<number>();
  let value = 0;
  const seen: string[] = [];
  const search = new ExhaustiveSearch({
    merge: (step) => {
      seen.push(`${step}:${value}`);
      return `${step}:${value}`;
    },
  });
  do {
    search.run((strategy) => {
      value = 0;
      const machine = new Machine({ strategy });
      for (const name of ['a', 'b']) {
        machine.spawn(
          (function* (): Task<void> {
            for (let i = 0; i < 3; i++) {
              value += 1;
              yield POINT;
            }
          })(),
          name,
        );
      }
      machine.drain();
      ends.add(value);
    });
  } while (search.next());
  // Whoever adds, the sum after a number of steps is the same but for the steps that only end a task.
  expect([...ends]).toEqual([6]);
  expect(search.complete).toBeLessThan(4);
  expect(search.redundant).toBeGreaterThan(0);
  expect(new Set(seen).size).toBe(seen.length - search.redundant);
  expect(() => new ExhaustiveSearch({ merge: () => '', reduce: true })).toThrow('merges states');
});

it('refuses a program that is not the same twice', () => {
  let round = 0;
  const search = new ExhaustiveSearch({ reduce: false });
  const run = (): RunEnd =>
    search.run((strategy) => {
      const machine = new Machine({ strategy });
      for (let i = 0; i <= (round > 0 ? 2 : 1); i++) machine.spawn(chooser(machine), 't');
      round++;
      machine.drain();
    });
  expect(() => {
    do run();
    while (search.next());
  }).toThrow('step 0 differs between two runs: the program is not deterministic');
});

it('goes on after a run that threw, with everybody tried where it went', () => {
  const search = new ExhaustiveSearch({ undeclared: 'nothing' });
  const ends: string[] = [];
  do {
    let end = 'fine';
    try {
      search.run((strategy) => {
        const machine = new Machine({ strategy });
        const cell = new SharedCell(machine.scheduler, 0);
        machine.spawn(thrower(cell), 'thrower');
        machine.spawn(scaler(cell, 1), 'other');
        machine.drain();
      });
    } catch (error) {
      end = (error as Error).message;
    }
    ends.push(end);
  } while (search.next());
  expect(new Set(ends)).toEqual(new Set(['cell is 0', 'fine']));
});

function crossedLocks(strategy: SchedulerStrategy): { machine: Machine } {
  const machine = new Machine({ strategy });
  const [a, b] = [new Mutex(machine, 'a'), new Mutex(machine, 'b')];
  machine.spawn(takeBoth(a, b), 'forwards');
  machine.spawn(takeBoth(b, a), 'backwards');
  return { machine };
}

function* takeBoth(first: Mutex, second: Mutex): Task<void> {
  yield* first.lock();
  yield POINT;
  yield* second.lock();
  second.unlock();
  first.unlock();
}

function* pollForEver(): Task<void> {
  for (;;) yield { kind: 'sleep', ns: 1, poll: true };
}

// oxlint-disable-next-line require-yield
function* chooser(machine: Machine): Task<string> {
  return `${machine.choose(3)}${machine.choose(2)}`;
}

function* scaler(cell: SharedCell<number>, factor: number): Task<void> {
  yield POINT;
  cell.set(factor);
}

function* thrower(cell: SharedCell<number>): Task<void> {
  yield POINT;
  if (cell.get() === 0) throw new Error('cell is 0');
}
