import { describe, expect, it } from 'vitest';
import { Completion, DeadlockError, Machine, Mutex, RwSem, schedPoint, type Task } from '../src/index.ts';

const POINT = schedPoint('test');

function deadlockOf(run: () => void): DeadlockError {
  try {
    run();
  } catch (error) {
    if (error instanceof DeadlockError) return error;
    throw error;
  }
  throw new Error('no deadlock');
}

function* takeBoth(first: Mutex, second: Mutex): Task<void> {
  yield* first.lock();
  yield POINT;
  yield* second.lock();
  second.unlock();
  first.unlock();
}

describe('DeadlockError', () => {
  it('names both tasks and both locks of an AB-BA deadlock', () => {
    const machine = new Machine();
    const a = new Mutex(machine, 'a');
    const b = new Mutex(machine, 'b');
    machine.spawn(takeBoth(a, b), 'forwards');
    machine.spawn(takeBoth(b, a), 'backwards');
    const error = deadlockOf(() => machine.drain());
    expect(error.cycle).toEqual(['forwards', 'backwards']);
    expect(error.tasks.map((t) => t.state)).toEqual(['blocked', 'blocked']);
    expect(error.message).toBe(
      [
        'deadlock of 2 tasks: forwards -> backwards -> forwards',
        '  forwards waits for mutex b (held by backwards), holds mutex a',
        '  backwards waits for mutex a (held by forwards), holds mutex b',
      ].join('\n'),
    );
  });

  it('finds a task that waits for itself', () => {
    const machine = new Machine();
    const a = new Mutex(machine, 'a');
    const error = deadlockOf(() => machine.run(takeBoth(a, a), 'self'));
    expect(error.cycle).toEqual(['self']);
    expect(error.message).toContain('deadlock of 1 task: self -> self');
  });

  it('reports an upgrade from reading to writing', () => {
    const machine = new Machine();
    const sem = new RwSem(machine, 's');
    const upgrade = function* (): Task<void> {
      yield* sem.downRead();
      yield* sem.downWrite();
    };
    expect(deadlockOf(() => machine.run(upgrade(), 'upgrader')).cycle).toEqual(['upgrader']);
  });

  it('reports a task that reads twice with a writer between', () => {
    const machine = new Machine();
    const sem = new RwSem(machine, 's');
    const twice = function* (): Task<void> {
      yield* sem.downRead();
      yield POINT;
      yield* sem.downRead();
    };
    machine.spawn(twice(), 'reader');
    machine.spawn(sem.downWrite(), 'writer');
    const error = deadlockOf(() => machine.drain());
    expect(error.cycle).toEqual(['reader', 'writer']);
    expect(error.message).toContain('reader waits for rwsem s (held by writer), holds rwsem s');
    expect(error.message).toContain('writer waits for rwsem s (held by reader)');
  });

  it('follows every reader, not the first one only', () => {
    const machine = new Machine();
    const sem = new RwSem(machine, 's');
    const never = new Completion(machine, 'never');
    const m = new Mutex(machine, 'm');
    const innocent = function* (): Task<void> {
      yield* sem.downRead();
      yield* never.wait();
    };
    const guilty = function* (): Task<void> {
      yield* sem.downRead();
      yield POINT;
      yield* m.lock();
    };
    const writer = function* (): Task<void> {
      yield* m.lock();
      yield* sem.downWrite();
    };
    machine.spawn(innocent(), 'innocent');
    machine.spawn(guilty(), 'guilty');
    machine.spawn(writer(), 'writer');
    const error = deadlockOf(() => machine.drain());
    expect(error.cycle.toSorted()).toEqual(['guilty', 'writer']);
    expect(error.message).toContain('(held by innocent, guilty)');
  });

  it('reports a lost event as a wait without a cycle', () => {
    const machine = new Machine();
    const error = deadlockOf(() => machine.run(new Completion(machine, 'never').wait(), 'waiter'));
    expect(error.cycle).toEqual([]);
    expect(error.message).toBe('deadlock of 1 task\n  waiter waits for completion never');
  });

  it('says when the holder is gone or was never a task', () => {
    const machine = new Machine();
    const leaked = new Mutex(machine, 'leaked');
    const outside = new Mutex(machine, 'outside');
    machine.run(leaked.lock(), 'leaker');
    outside.tryLock();
    machine.spawn(leaked.lock(), 'a');
    machine.spawn(outside.lock(), 'b');
    const error = deadlockOf(() => machine.drain());
    expect(error.message).toContain('a waits for mutex leaked (held by leaker, which does not run any more)');
    expect(error.message).toContain('b waits for mutex outside (held by outside of any task)');
  });
});
