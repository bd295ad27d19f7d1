import { describe, expect, it } from 'vitest';
import { Machine, random, RwSem, schedPoint, type Task } from '../src/index.ts';

const POINT = schedPoint('test');

function* hold(sem: RwSem, write: boolean, log: string[], name: string): Task<void> {
  yield* write ? sem.downWrite() : sem.downRead();
  log.push(`+${name}`);
  yield POINT;
  log.push(`-${name}`);
  if (write) sem.upWrite();
  else sem.upRead();
}

describe('RwSem', () => {
  it('lets readers in together and writers alone', () => {
    const machine = new Machine();
    const sem = new RwSem(machine, 's');
    const log: string[] = [];
    machine.spawn(hold(sem, false, log, 'r1'), 'r1');
    machine.spawn(hold(sem, false, log, 'r2'), 'r2');
    machine.spawn(hold(sem, true, log, 'w1'), 'w1');
    machine.spawn(hold(sem, true, log, 'w2'), 'w2');
    machine.drain();
    expect(log).toEqual(['+r1', '+r2', '-r1', '-r2', '+w1', '-w1', '+w2', '-w2']);
  });

  it('keeps new readers out while a writer waits, and serves in order of arrival', () => {
    const machine = new Machine();
    const sem = new RwSem(machine, 's');
    const log: string[] = [];
    const order = [
      ['r1', false],
      ['w1', true],
      ['r2', false],
      ['r3', false],
      ['w2', true],
      ['r4', false],
    ] as const;
    for (const [name, write] of order) machine.spawn(hold(sem, write, log, name), name);
    machine.drain();
    expect(log.filter((l) => l.startsWith('+'))).toEqual(['+r1', '+w1', '+r2', '+r3', '+w2', '+r4']);
    expect(log.indexOf('+r3')).toBeLessThan(log.indexOf('-r2'));
  });

  it('refuses trylocks that would overtake a waiter', () => {
    const machine = new Machine();
    const sem = new RwSem(machine, 's');
    const log: string[] = [];
    expect(sem.tryDownRead()).toBe(true);
    expect(sem.tryDownRead()).toBe(true);
    expect(sem.tryDownWrite()).toBe(false);
    sem.upRead();
    machine.spawn(hold(sem, true, log, 'w'), 'w');
    machine.run(done(), 'other');
    expect(sem.tryDownRead()).toBe(false);
    sem.upRead();
    expect(sem.tryDownWrite()).toBe(false);
    machine.drain();
    expect(log).toEqual(['+w', '-w']);
    expect(sem.tryDownWrite()).toBe(true);
    expect(sem.tryDownRead()).toBe(false);
    sem.upWrite();

    function* done(): Task<void> {
      yield POINT;
    }
  });

  it('knows who holds it in which mode', () => {
    const machine = new Machine();
    const sem = new RwSem(machine, 's');
    machine.run(
      (function* (): Task<void> {
        yield* sem.downRead();
        expect([sem.heldByMe, sem.writeHeldByMe]).toEqual([true, false]);
        sem.assertHeld();
        expect(() => sem.assertHeldWrite()).toThrow('rwsem s must be held for writing by holder');
        sem.upRead();
        yield* sem.downWrite();
        expect([sem.heldByMe, sem.writeHeldByMe]).toEqual([true, true]);
        sem.assertHeldWrite();
        sem.upWrite();
        expect(machine.currentTask().held).toEqual([]);
      })(),
      'holder',
    );
    expect([sem.heldByMe, sem.writeHeldByMe]).toEqual([false, false]);
    expect(() => sem.assertHeld()).toThrow('rwsem s must be held by outside of any task');
  });

  it('refuses releases of what the task does not hold, and changes nothing', () => {
    const machine = new Machine();
    const sem = new RwSem(machine, 's');
    expect(() => sem.upRead()).toThrow(
      'rwsem s read-unlocked by outside of any task, which does not hold it',
    );
    expect(() => sem.upWrite()).toThrow('rwsem s write-unlocked by outside of any task, held by no writer');
    sem.tryDownWrite();
    expect(() => sem.upRead()).toThrow('does not hold it for reading');
    expect(sem.writeHeldByMe).toBe(true);
    sem.upWrite();
    sem.tryDownRead();
    expect(() => sem.upWrite()).toThrow('held by no writer');
    expect(sem.heldByMe).toBe(true);
  });

  it('counts several read holds of one task', () => {
    const machine = new Machine();
    const sem = new RwSem(machine, 's');
    const held = machine.run(
      (function* (): Task<boolean[]> {
        yield* sem.downRead();
        yield* sem.downRead();
        sem.upRead();
        const once = sem.heldByMe;
        sem.upRead();
        return [once, sem.heldByMe];
      })(),
    );
    expect(held).toEqual([true, false]);
    expect(sem.tryDownWrite()).toBe(true);
  });

  it('excludes, loses no wake-up and starves nobody in any of many interleavings', () => {
    for (let seed = 0; seed < 200; seed++) {
      const machine = new Machine({ seed, strategy: random() });
      const sem = new RwSem(machine, 's');
      let readers = 0;
      let writers = 0;
      let wrong = 0;
      let sections = 0;
      const user = function* (write: boolean): Task<void> {
        for (let i = 0; i < 4; i++) {
          yield* write ? sem.downWrite() : sem.downRead();
          if (write) writers++;
          else readers++;
          if (writers > 1 || (writers === 1 && readers > 0)) wrong++;
          sections++;
          yield POINT;
          if (write) writers--;
          else readers--;
          if (write) sem.upWrite();
          else sem.upRead();
          yield POINT;
        }
      };
      for (let i = 0; i < 5; i++) machine.spawn(user(i % 2 === 0), `u${i}`);
      machine.drain();
      expect([wrong, sections, sem.tryDownWrite()]).toEqual([0, 20, true]);
      sem.upWrite();
      expect(machine.ledger.live()).toEqual([]);
    }
  });
});
