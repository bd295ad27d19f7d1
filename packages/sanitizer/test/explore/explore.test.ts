import { type Machine, Mutex, schedPoint, type Task } from '@gpusvm/kernel';
import { explore, type Exploration, replayExploration } from '@gpusvm/sanitizer';
import { describe, expect, it } from 'vitest';
import { mmProgram } from './mm-program.ts';

const POINT = schedPoint('between read and write');

interface Counter {
  readonly machine: Machine;
  readonly lock: Mutex;
  value: number;
}

/** Two tasks that add one each; without the lock one can be lost. */
function counter(locked: boolean): Exploration<Counter> {
  function* add(c: Counter): Task<void> {
    if (locked) yield* c.lock.lock();
    const { value } = c;
    yield POINT;
    c.value = value + 1;
    if (locked) c.lock.unlock();
  }
  return {
    setup: (machine) => ({ machine, lock: new Mutex(machine, 'm'), value: 0 }),
    tasks: { first: add, second: add },
    digest: (c) => String(c.value),
    atEnd: { 'both count': (c) => (c.value === 2 ? null : `the counter is ${c.value}, not 2`) },
  };
}

describe('explore', () => {
  it('finds a lost update under its shortest schedule, which replays it step for step', () => {
    const { failure, exhaustive } = explore(counter(false));
    expect(exhaustive).toBe(false);
    expect(failure).toEqual({
      kind: 'end',
      name: 'both count',
      message: 'the counter is 1, not 2',
      schedule: '1:2',
      shortest: true,
      steps: [
        'first: between read and write',
        'second: between read and write',
        'second: ends',
        'first: ends',
      ],
    });
    const { fault, steps } = replayExploration(counter(false), '1:2');
    expect(fault?.message).toBe('the counter is 1, not 2');
    expect(steps).toEqual(failure?.steps);
    expect(replayExploration(counter(false), '-').fault).toBeNull();
  });

  it('counts what it has explored when nothing is wrong, the same each time', () => {
    const result = explore(counter(true));
    expect(result).toEqual({
      interleavings: 4,
      redundant: 0,
      steps: result.steps,
      states: 11,
      ends: 1,
      exhaustive: true,
      failure: null,
    });
    expect(explore(counter(true))).toEqual(result);
    // Nothing left out: a bound on deviations that is never reached.
    const unreduced = explore({ ...counter(true), bound: { deviations: 100 } });
    expect([unreduced.ends, unreduced.exhaustive]).toEqual([1, false]);
    expect(unreduced.states).toBeGreaterThanOrEqual(11);
    expect(unreduced.interleavings).toBeGreaterThanOrEqual(4);
  });

  it.each(['random', 'pct'] as const)('finds it with search %s as well', (search) => {
    const { failure, exhaustive } = explore({ ...counter(false), search, bound: { runs: 200 } });
    expect(exhaustive).toBe(false);
    expect([failure?.schedule, failure?.shortest]).toEqual(['1:2', true]);
    expect(explore({ ...counter(true), search, bound: { runs: 50 } })).toMatchObject({
      interleavings: 50,
      failure: null,
    });
  });

  it('stops in the state that breaks an invariant', () => {
    const { failure } = explore({
      ...counter(true),
      invariants: { 'below two': (c) => (c.value < 2 ? null : 'two already') },
    });
    expect(failure).toMatchObject({ kind: 'invariant', name: 'below two', schedule: '-', shortest: true });
  });

  it('reports a deadlock with the cycle', () => {
    const { failure } = explore({
      setup: (machine) => [new Mutex(machine, 'a'), new Mutex(machine, 'b')] as const,
      tasks: { forwards: ([a, b]) => both(a, b), backwards: ([a, b]) => both(b, a) },
    });
    expect(failure).toMatchObject({ kind: 'deadlock', schedule: '1:2', shortest: true });
    expect(failure?.message).toContain('forwards -> backwards -> forwards');
  });

  it('reports a run that does not end, with who still goes on', () => {
    const program: Exploration<{ readonly done: boolean }> = {
      setup: () => ({ done: false }),
      tasks: {
        waiter: function* (c) {
          while (!c.done) yield { kind: 'sleep', ns: 1, poll: true };
        },
      },
      bound: { steps: 100 },
    };
    const { failure } = explore(program);
    expect(failure).toMatchObject({ kind: 'livelock', schedule: '-' });
    expect(failure?.message).toBe("no end after 100 steps: waiter at 'sleep' still goes on");
  });

  it('reports what a task throws, and explores allocation failures as choices', () => {
    const { failure } = explore({
      setup: (machine) => {
        machine.faultInjection.chooseFailures(1, ['alloc']);
        return machine;
      },
      tasks: { careless },
    });
    expect(failure).toMatchObject({
      kind: 'exception',
      name: 'Error',
      message: 'no memory, not expected',
      schedule: 'c1=1',
      shortest: true,
    });
  });

  it('gives up at a bound on runs and says that it is not exhaustive', () => {
    const result = explore({ ...counter(true), bound: { runs: 2 } });
    expect([result.exhaustive, result.failure]).toEqual([false, null]);
  });
});

it('reaches the same end states with and without leaving out orders, on address spaces', () => {
  const pairs = [
    ['gpu-write', 'munmap', 'ram'],
    ['gpu-read', 'cpu-write', 'none'],
    ['gpu-write', 'mprotect', 'ram'],
    ['cpu-write', 'migrate', 'ram'],
    ['munmap', 'migrate', 'none'],
  ] as const;
  for (const [a, b, placed] of pairs) {
    const reduced = explore(mmProgram([a, b], 1, placed));
    const full = explore({ ...mmProgram([a, b], 1, placed), bound: { deviations: 1000 } });
    expect([reduced.failure, full.failure]).toEqual([null, null]);
    expect([a, b, reduced.ends]).toEqual([a, b, full.ends]);
    expect(reduced.interleavings).toBeLessThanOrEqual(full.interleavings);
    expect(reduced.exhaustive).toBe(true);
  }
});

function* both(first: Mutex, second: Mutex): Task<void> {
  yield* first.lock();
  yield POINT;
  yield* second.lock();
  second.unlock();
  first.unlock();
}

function* careless(machine: Machine): Task<void> {
  const site = machine.faultInjection.site('alloc');
  if (site.shouldFail()) return;
  yield POINT;
  if (site.shouldFail()) throw new Error('no memory, not expected');
}
