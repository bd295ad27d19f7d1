import { expect, it } from 'vitest';
import { LOCK_RELEASED, LOCK_TAKEN, type LockEvent, Machine, Mutex, RwSem, type Task } from '../src/index.ts';

it('locks tell who takes and releases them, and how', () => {
  const machine = new Machine();
  const mutex = new Mutex(machine, 'm');
  const sem = new RwSem(machine, 's');
  const log: string[] = [];
  const say =
    (what: string) =>
    ({ lock, task, mode, maySleep }: LockEvent): void =>
      void log.push(
        `${what} ${lock.label} ${mode}${maySleep ? ', may sleep,' : ''} by ${task.name}, holding ${task.held.length}`,
      );
  machine.trace.on(LOCK_TAKEN, say('take'));
  machine.trace.on(LOCK_RELEASED, say('release'));
  machine.run(
    (function* (): Task<void> {
      yield* mutex.lock();
      if (sem.tryDownRead()) sem.upRead();
      yield* sem.downWrite();
      mutex.unlock();
      sem.upWrite();
    })(),
    't',
  );
  expect(log).toEqual([
    'take mutex m exclusive, may sleep, by t, holding 1',
    'take rwsem s read by t, holding 2',
    'release rwsem s read by t, holding 1',
    'take rwsem s write, may sleep, by t, holding 2',
    'release mutex m exclusive by t, holding 1',
    'release rwsem s write by t, holding 0',
  ]);
});
