import { describe, expect, it } from 'vitest';
import { Completion, done, Machine, type Task } from '../src/index.ts';

/** Spawns `n` waiters and returns the names of those that went on. */
function waiters(machine: Machine, completion: Completion, n: number): string[] {
  const log: string[] = [];
  const waiter = function* (name: string): Task<void> {
    yield* completion.wait();
    log.push(name);
  };
  for (let i = 0; i < n; i++) machine.spawn(waiter(`w${i}`), `w${i}`);
  return log;
}

/** Runs everybody who can go on, without complaint about those who cannot. */
const settle = (machine: Machine): void => machine.run(done(undefined));

describe('Completion', () => {
  it('lets exactly one waiter go on per complete, in order of arrival', () => {
    const machine = new Machine();
    const completion = new Completion(machine, 'c');
    const log = waiters(machine, completion, 3);
    settle(machine);
    expect(log).toEqual([]);
    completion.complete();
    settle(machine);
    expect(log).toEqual(['w0']);
    completion.complete();
    completion.complete();
    machine.drain();
    expect(log).toEqual(['w0', 'w1', 'w2']);
    expect(completion.isDone).toBe(false);
  });

  it('remembers completions that came before the waiters', () => {
    const machine = new Machine();
    const completion = new Completion(machine, 'c');
    completion.complete();
    completion.complete();
    expect(completion.isDone).toBe(true);
    const log = waiters(machine, completion, 3);
    settle(machine);
    expect(log).toEqual(['w0', 'w1']);
    completion.complete();
    machine.drain();
    expect(log).toHaveLength(3);
  });

  it('lets everybody go on for good after completeAll, until it is reinitialised', () => {
    const machine = new Machine();
    const completion = new Completion(machine, 'c');
    const log = waiters(machine, completion, 2);
    settle(machine);
    completion.completeAll();
    machine.drain();
    waiters(machine, completion, 5);
    machine.drain();
    expect(log).toEqual(['w0', 'w1']);
    expect(completion.isDone).toBe(true);
    completion.reinit();
    expect(completion.isDone).toBe(false);
    waiters(machine, completion, 1);
    expect(() => machine.drain()).toThrow('w0 waits for completion c');
  });

  it('loses no completion when a newcomer takes what woke a waiter', () => {
    const machine = new Machine();
    const completion = new Completion(machine, 'c');
    const log = waiters(machine, completion, 2);
    settle(machine);
    machine.run(
      (function* (): Task<void> {
        completion.complete();
        yield* completion.wait();
      })(),
      'thief',
    );
    expect(log).toEqual([]);
    completion.complete();
    completion.complete();
    machine.drain();
    expect(log).toHaveLength(2);
    expect(completion.isDone).toBe(false);
  });
});
