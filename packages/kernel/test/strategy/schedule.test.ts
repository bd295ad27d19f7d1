import {
  DeadlockError,
  Machine,
  Mutex,
  parseSchedule,
  pct,
  random,
  recorded,
  replay,
  runToCompletion,
  type Schedule,
  type SchedulerStrategy,
  scheduleLength,
  scheduleText,
  schedPoint,
  shrinkSchedule,
  SharedCell,
  type Task,
  timed,
} from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import { randomProgram, Rig, runProgram } from './random-program.ts';

const POINT = schedPoint('test');

describe('a schedule', () => {
  it('prints as one word and reads back', () => {
    const schedule: Schedule = {
      switches: [
        { step: 4, task: 2 },
        { step: 9, task: 1 },
      ],
      choices: [{ index: 0, value: 1 }],
    };
    expect(scheduleText(schedule)).toBe('4:2.9:1.c0=1');
    expect(parseSchedule('4:2.9:1.c0=1')).toEqual(schedule);
    expect(scheduleText({ switches: [], choices: [] })).toBe('-');
    expect(scheduleLength(parseSchedule('-'))).toBe(0);
  });

  it.each(['', '4', '4:2.', 'c1', '4:2 5:1', '-1:2'])('%o is refused with a sentence', (text) => {
    expect(() => parseSchedule(text)).toThrow('is no part of a schedule');
  });

  it('that is out of order is refused', () => {
    expect(() => parseSchedule('9:1.4:2')).toThrow("'4:2' is out of order");
    expect(() => parseSchedule('c2=1.c2=1')).toThrow('out of order');
  });
});

describe.each([
  ['random', (): SchedulerStrategy => random(), false],
  ['pct', (): SchedulerStrategy => pct({ depth: 3, steps: 20 }), true],
] as const)('a recorded run of %s', (_name, strategy, timeless) => {
  it('is repeated step for step by its printed schedule', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const program = randomProgram(seed);
      const recorder = recorded(strategy());
      const trace = traceOf(program, recorder, seed);
      const text = scheduleText(recorder.schedule);
      const again = recorded(replay(text, { timeless }));
      expect(traceOf(program, again, 1)).toEqual(trace);
      expect(scheduleText(again.schedule)).toBe(text);
    }
  });
});

it('a strategy that decides nothing is not recorded', () => {
  expect(() => recorded(timed())).toThrow('timed cannot be recorded');
  expect(() => recorded(runToCompletion())).toThrow('run-to-completion cannot be recorded');
});

it('a schedule that does not fit goes on in the default order', () => {
  const plain = runProgram(randomProgram(7), replay('-'));
  expect(runProgram(randomProgram(7), replay('0:9.1:17.c40=3'))).toBe(plain);
});

describe('shrinking', () => {
  it('leaves one switch of a long random schedule that deadlocks', () => {
    let shrunk = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const recorder = recorded(random());
      if (!deadlocks(recorder, seed)) continue;
      shrunk++;
      const { schedule, shortest } = shrinkSchedule(recorder.schedule, (strategy) => deadlocks(strategy, 1), {
        timeless: false,
      });
      expect(scheduleLength(schedule)).toBeLessThanOrEqual(scheduleLength(recorder.schedule));
      expect(shortest).toBe(false);
      const searched = shrinkSchedule(schedule, (strategy) => deadlocks(strategy, 1));
      expect(searched.shortest).toBe(true);
      expect(scheduleLength(searched.schedule)).toBe(1);
      expect(deadlocks(replay(searched.schedule), 1)).toBe(true);
    }
    expect(shrunk).toBeGreaterThan(5);
  });

  it('says when it gave up before it had tried all shorter schedules', () => {
    const recorder = recorded(random());
    expect(deadlocks(recorder, 1)).toBe(true);
    const { shortest } = shrinkSchedule(recorder.schedule, (strategy) => deadlocks(strategy, 1), { runs: 0 });
    expect(shortest).toBe(false);
  });

  it('refuses a schedule that does not fail', () => {
    expect(() => shrinkSchedule(parseSchedule('3:2'), () => false)).toThrow('does not fail');
  });
});

describe('pct', () => {
  it('meets a bug of depth 2 at least as often as its theorem says', () => {
    // Two tasks, 22 steps: the bug needs the reader exactly between two writes, one ordering more than free running.
    const steps = 22;
    let met = 0;
    const runs = 2000;
    for (let seed = 1; seed <= runs; seed++) if (seesBetween(pct({ depth: 2, steps }), seed)) met++;
    expect(met / runs).toBeGreaterThan(1 / (2 * steps));
    // Depth 1 never preempts, so that it cannot.
    for (let seed = 1; seed <= 200; seed++) expect(seesBetween(pct({ depth: 1, steps }), seed)).toBe(false);
  });

  it('is the same for the same seed', () => {
    const ends = [1, 2].map(() => traceOf(randomProgram(3), pct({ depth: 3, steps: 10 }), 5));
    expect(ends[0]).toEqual(ends[1]);
  });

  it.each([
    [0, 5],
    [1.5, 5],
    [2, 0],
  ])('refuses depth %d with %d steps', (depth, steps) => {
    expect(() => pct({ depth, steps })).toThrow(RangeError);
  });
});

/** Which task made which step, and how the run ended. */
function traceOf(
  program: ReturnType<typeof randomProgram>,
  strategy: SchedulerStrategy,
  seed: number,
): string[] {
  const rig = new Rig(strategy, seed);
  const trace: string[] = [];
  program.forEach((statements, i) => rig.machine.spawn(traced(rig, rig.task(statements, i), trace), `${i}`));
  try {
    rig.machine.drain();
  } catch (error) {
    trace.push(String(error));
  }
  return [...trace, rig.state()];
}

function* traced(rig: Rig, task: Task<void>, trace: string[]): Task<void> {
  for (;;) {
    trace.push(rig.machine.currentTask().name);
    const step = task.next();
    if (step.done === true) return;
    yield step.value;
  }
}

function deadlocks(strategy: SchedulerStrategy, seed: number): boolean {
  const machine = new Machine({ strategy, seed });
  const [a, b] = [new Mutex(machine, 'a'), new Mutex(machine, 'b')];
  machine.spawn(pairs(a, b), 'forwards');
  machine.spawn(pairs(b, a), 'backwards');
  try {
    machine.drain();
    return false;
  } catch (error) {
    if (!(error instanceof DeadlockError)) throw error;
    return true;
  }
}

function* pairs(first: Mutex, second: Mutex): Task<void> {
  for (let i = 0; i < 6; i++) {
    yield POINT;
    yield* first.lock();
    yield POINT;
    yield* second.lock();
    yield POINT;
    second.unlock();
    first.unlock();
  }
}

function seesBetween(strategy: SchedulerStrategy, seed: number): boolean {
  const machine = new Machine({ strategy, seed });
  const cell = new SharedCell(machine.scheduler, 0);
  let seen = false;
  function* writer(): Task<void> {
    for (let i = 0; i < 18; i++) {
      if (i === 8) cell.set(1);
      if (i === 10) cell.set(0);
      yield POINT;
    }
  }
  function* reader(): Task<void> {
    yield POINT;
    seen = cell.get() === 1;
  }
  machine.spawn(writer(), 'writer');
  machine.spawn(reader(), 'reader');
  machine.drain();
  return seen;
}
