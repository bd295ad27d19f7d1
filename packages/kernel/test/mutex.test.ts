import { describe, expect, it } from 'vitest';
import { Machine, Mutex, random, schedPoint, type Task } from '../src/index.ts';

const POINT = schedPoint('test');

describe('Mutex', () => {
  it('belongs to the task that takes it and is listed as held', () => {
    const machine = new Machine();
    const mutex = new Mutex(machine, 'm');
    machine.run(
      (function* (): Task<void> {
        yield* mutex.lock();
        expect(mutex.locked).toBe(true);
        expect(mutex.heldByMe).toBe(true);
        mutex.assertHeld();
        expect(machine.currentTask().held).toEqual([mutex]);
        mutex.unlock();
        expect(machine.currentTask().held).toEqual([]);
      })(),
    );
    expect(mutex.locked).toBe(false);
    expect(mutex.heldByMe).toBe(false);
    expect(mutex.owners()).toEqual([]);
  });

  it('does nothing when the call is not run with yield*', () => {
    const machine = new Machine();
    const mutex = new Mutex(machine, 'm');
    mutex.lock();
    expect(mutex.locked).toBe(false);
    expect(() => mutex.unlock()).toThrow('mutex m unlocked by outside of any task, held by nobody');
  });

  it('can be run as a task of its own', () => {
    const machine = new Machine();
    const mutex = new Mutex(machine, 'm');
    machine.run(mutex.lock(), 'taker');
    expect(mutex.owners().map((o) => o.name)).toEqual(['taker']);
  });

  it('refuses to be unlocked by another task, and stays locked', () => {
    const machine = new Machine();
    const mutex = new Mutex(machine, 'm');
    expect(mutex.tryLock()).toBe(true);
    const thief = function* (): Task<void> {
      yield POINT;
      mutex.unlock();
    };
    expect(() => machine.run(thief(), 'thief')).toThrow(
      'mutex m unlocked by thief, held by outside of any task',
    );
    expect(() => machine.run(assertion(), 'asker')).toThrow('mutex m must be held by asker');
    expect(mutex.heldByMe).toBe(true);
    mutex.unlock();
    expect(mutex.locked).toBe(false);

    // oxlint-disable-next-line require-yield
    function* assertion(): Task<void> {
      mutex.assertHeld();
    }
  });

  it('cannot be waited for outside of a task', () => {
    const machine = new Machine();
    const mutex = new Mutex(machine, 'm');
    mutex.tryLock();
    expect(() => mutex.lock().next()).toThrow('wait for mutex m outside of a task');
  });

  it('releases locks in any order', () => {
    const machine = new Machine();
    const [a, b, c] = ['a', 'b', 'c'].map((name) => new Mutex(machine, name)) as [Mutex, Mutex, Mutex];
    const stillHeld = machine.run(
      (function* (): Task<string[]> {
        for (const mutex of [a, b, c]) yield* mutex.lock();
        a.unlock();
        const held = machine.currentTask().held.map((lock) => lock.label);
        c.unlock();
        b.unlock();
        return [...held, ...machine.currentTask().held.map((lock) => lock.label)];
      })(),
    );
    expect(stillHeld).toEqual(['mutex b', 'mutex c']);
    expect([a, b, c].some((mutex) => mutex.locked)).toBe(false);
  });

  it('serves waiters in order of arrival', () => {
    const machine = new Machine();
    const mutex = new Mutex(machine, 'm');
    const log: string[] = [];
    const user = function* (name: string): Task<void> {
      yield* mutex.lock();
      log.push(name);
      yield POINT;
      mutex.unlock();
    };
    for (const name of ['a', 'b', 'c', 'd']) machine.spawn(user(name), name);
    machine.drain();
    expect(log).toEqual(['a', 'b', 'c', 'd']);
  });

  it('hands itself over to a waiter that was robbed once', () => {
    const machine = new Machine();
    const mutex = new Mutex(machine, 'm');
    const log: string[] = [];
    const greedy = function* (): Task<void> {
      for (let i = 0; i < 5; i++) {
        yield* mutex.lock();
        log.push(`greedy ${i}`);
        yield POINT;
        mutex.unlock();
      }
    };
    machine.spawn(greedy(), 'greedy');
    machine.spawn(
      (function* (): Task<void> {
        yield* mutex.lock();
        log.push('patient');
        mutex.unlock();
      })(),
      'patient',
    );
    machine.drain();
    expect(log.indexOf('patient')).toBe(2);
    expect(mutex.locked).toBe(false);
  });

  it('excludes, loses no wake-up and starves nobody in any of many interleavings', () => {
    for (let seed = 0; seed < 200; seed++) {
      const machine = new Machine({ seed, strategy: random() });
      const mutex = new Mutex(machine, 'm');
      let inside = 0;
      let worst = 0;
      let sections = 0;
      const user = function* (tries: boolean): Task<void> {
        for (let i = 0; i < 5; i++) {
          if (!tries || !mutex.tryLock()) yield* mutex.lock();
          worst = Math.max(worst, ++inside);
          sections++;
          yield POINT;
          inside--;
          mutex.unlock();
          yield POINT;
        }
      };
      for (let i = 0; i < 4; i++) machine.spawn(user(i === 0), `u${i}`);
      machine.drain();
      expect([worst, sections, inside, mutex.locked]).toEqual([1, 20, 0, false]);
      expect(machine.ledger.live()).toEqual([]);
    }
  });
});
