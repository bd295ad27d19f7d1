import { describe, expect, it } from 'vitest';
import {
  type BlockSuspension,
  done,
  Machine,
  Mutex,
  RwSem,
  type SchedPoint,
  schedPoint,
  StepTask,
  type Task,
} from '../src/index.ts';

describe('sleeping in the type', () => {
  it('does not compile where a plain function uses a sleeping one as if it did not sleep', () => {
    const machine = new Machine();
    const mutex = new Mutex(machine, 'm');
    const sem = new RwSem(machine, 's');
    const sleepy = function* (): Task<number> {
      yield* mutex.lock();
      mutex.unlock();
      return 7;
    };
    // @ts-expect-error what lock() returns is a task to be run, not the effect
    const locked: void = mutex.lock();
    // @ts-expect-error the number comes only out of yield*
    const value: number = sleepy();
    // @ts-expect-error an operation that must not sleep cannot be implemented by one that does
    const atomicOperation: () => undefined = () => sem.downRead();
    expect([locked, value, atomicOperation()].every((task) => typeof task === 'object')).toBe(true);
    expect(mutex.locked || sem.heldByMe).toBe(false);
    expect(machine.run(sleepy())).toBe(7);
  });

  it('does not compile where a task yields something the scheduler does not know', () => {
    const machine = new Machine();
    const wrong = function* (): Task<void> {
      // @ts-expect-error not a suspension
      yield 'please';
    };
    machine.run(wrong());
    expect(machine.ledger.live()).toEqual([]);
  });
});

describe('done', () => {
  it('is a task that returns its value without a suspension', () => {
    const machine = new Machine();
    expect(machine.run(done(42))).toBe(42);
    expect(machine.scheduler.steps).toBe(1);
    expect([...done('x')]).toEqual([]);
  });
});

describe('schedPoint', () => {
  it('is frozen and carries its name', () => {
    const point: SchedPoint = schedPoint('collect');
    expect(point).toEqual({ kind: 'point', name: 'collect' });
    expect(Object.isFrozen(point)).toBe(true);
  });
});

describe('StepTask', () => {
  class Countdown extends StepTask<string> {
    left = 2;

    next(): IteratorResult<SchedPoint | BlockSuspension, string> {
      if (this.left-- > 0) return { done: false, value: schedPoint('tick') };
      return { done: true, value: 'lift-off' };
    }
  }

  it('is run by yield* as a generator is', () => {
    const machine = new Machine();
    const main = function* (): Task<string> {
      return yield* new Countdown().asTask();
    };
    expect(machine.run(main())).toBe('lift-off');
    expect(machine.scheduler.steps).toBe(3);
  });

  it('can be abandoned and passes errors on, as a generator does', () => {
    const outer = function* (task: Task<string>): Task<string> {
      return yield* task;
    };
    const abandoned = outer(new Countdown().asTask());
    abandoned.next();
    expect(abandoned.return('early')).toEqual({ done: true, value: 'early' });
    const broken = outer(new Countdown().asTask());
    broken.next();
    expect(() => broken.throw(new Error('from outside'))).toThrow('from outside');
  });
});
