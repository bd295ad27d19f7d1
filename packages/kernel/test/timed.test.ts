import { describe, expect, it } from 'vitest';
import {
  Completion,
  DmaFence,
  Machine,
  Mutex,
  RwSem,
  schedPoint,
  type Task,
  timed,
  Work,
  WorkQueue,
} from '../src/index.ts';

const POINT = schedPoint('test');
const timedMachine = (): Machine => new Machine({ strategy: timed() });

/** A span of virtual time in which a task held something. */
interface Span {
  readonly from: number;
  readonly to: number;
}

const overlap = (a: Span, b: Span): boolean => a.from < b.to && b.from < a.to;

describe('timed mode', () => {
  it('lets two tasks spend the same time side by side', () => {
    const machine = timedMachine();
    const ends: number[] = [];
    const worker = function* (): Task<void> {
      for (let i = 0; i < 3; i++) {
        machine.scheduler.charge(100);
        yield POINT;
      }
      ends.push(machine.clock.nowNs);
    };
    machine.spawn(worker(), 'a');
    machine.spawn(worker(), 'b');
    machine.drain();
    expect(ends).toEqual([300, 300]);
    expect(machine.clock.nowNs).toBe(300);
  });

  it('adds the same time up in fast mode', () => {
    const machine = new Machine();
    const worker = function* (): Task<void> {
      machine.scheduler.charge(100);
      yield POINT;
    };
    machine.spawn(worker(), 'a');
    machine.spawn(worker(), 'b');
    machine.drain();
    expect(machine.clock.nowNs).toBe(200);
  });

  it('runs whoever is furthest behind', () => {
    const machine = timedMachine();
    const log: string[] = [];
    const worker = function* (name: string, ns: number): Task<void> {
      for (let i = 0; i < 3; i++) {
        log.push(`${name}@${machine.clock.nowNs}`);
        machine.scheduler.charge(ns);
        yield POINT;
      }
    };
    machine.spawn(worker('slow', 100), 'slow');
    machine.spawn(worker('fast', 30), 'fast');
    machine.drain();
    expect(log).toEqual(['slow@0', 'fast@0', 'fast@30', 'fast@60', 'slow@100', 'slow@200']);
  });

  it('counts time that a task charges after its last suspension', () => {
    const machine = timedMachine();
    const worker = function* (): Task<void> {
      yield POINT;
      machine.scheduler.charge(70);
    };
    machine.spawn(worker(), 'a');
    machine.spawn(worker(), 'b');
    machine.drain();
    expect(machine.clock.nowNs).toBe(70);
  });

  it.each([
    ['mutex, held across suspensions', true],
    ['mutex, held within one step', false],
  ])('never lets critical sections overlap in virtual time: %s', (_, suspends) => {
    const machine = timedMachine();
    const mutex = new Mutex(machine, 'm');
    const spans: Span[] = [];
    const worker = function* (think: number): Task<void> {
      for (let i = 0; i < 4; i++) {
        machine.scheduler.charge(think);
        yield POINT;
        yield* mutex.lock();
        const from = machine.clock.nowNs;
        machine.scheduler.charge(50);
        if (suspends) yield POINT;
        machine.scheduler.charge(50);
        spans.push({ from, to: machine.clock.nowNs });
        mutex.unlock();
      }
    };
    [3, 10, 17].forEach((think, i) => machine.spawn(worker(think), `w${i}`));
    machine.drain();
    expect(spans).toHaveLength(12);
    expect(spans.every((a, i) => spans.every((b, j) => i === j || !overlap(a, b)))).toBe(true);
    expect(machine.clock.nowNs).toBeGreaterThanOrEqual(12 * 100);
    expect(machine.clock.nowNs).toBeLessThan(12 * 100 + 100);
  });

  it('lets readers overlap and keeps writers alone in virtual time', () => {
    const machine = timedMachine();
    const sem = new RwSem(machine, 's');
    const reads: Span[] = [];
    const writes: Span[] = [];
    const user = function* (write: boolean, think: number): Task<void> {
      for (let i = 0; i < 3; i++) {
        machine.scheduler.charge(think);
        yield POINT;
        yield* write ? sem.downWrite() : sem.downRead();
        const from = machine.clock.nowNs;
        machine.scheduler.charge(100);
        (write ? writes : reads).push({ from, to: machine.clock.nowNs });
        if (write) sem.upWrite();
        else sem.upRead();
      }
    };
    [false, false, true, false, true].forEach((write, i) => machine.spawn(user(write, 10 + i), `u${i}`));
    machine.drain();
    expect(writes.every((w) => reads.every((r) => !overlap(w, r)))).toBe(true);
    expect(writes.every((a, i) => writes.every((b, j) => i === j || !overlap(a, b)))).toBe(true);
    expect(reads.some((a, i) => reads.some((b, j) => i !== j && overlap(a, b)))).toBe(true);
  });

  it('refuses a trylock of what is still held at the instant of the asking task', () => {
    const machine = timedMachine();
    const mutex = new Mutex(machine, 'm');
    const sem = new RwSem(machine, 's');
    const seen: unknown[] = [];
    machine.spawn(
      (function* (): Task<void> {
        yield* mutex.lock();
        yield* sem.downWrite();
        machine.scheduler.charge(100);
        sem.upWrite();
        mutex.unlock();
      })(),
      'holder',
    );
    const ask = function* (): Task<void> {
      machine.scheduler.charge(40);
      yield POINT;
      seen.push([machine.clock.nowNs, mutex.tryLock(), sem.tryDownRead(), sem.tryDownWrite()]);
      machine.scheduler.charge(60);
      yield POINT;
      seen.push([machine.clock.nowNs, mutex.tryLock(), sem.tryDownRead()]);
    };
    machine.spawn(ask(), 'asker');
    machine.drain();
    expect(seen).toEqual([
      [40, false, false, false],
      [100, true, true],
    ]);
  });

  it('lets nobody see an event before its instant', () => {
    const machine = timedMachine();
    const completion = new Completion(machine, 'c');
    const all = new Completion(machine, 'all');
    const fence = new DmaFence(machine, 'f');
    const seen: unknown[] = [];
    machine.spawn(
      (function* (): Task<void> {
        machine.scheduler.charge(100);
        completion.complete();
        machine.scheduler.charge(100);
        all.completeAll();
        machine.scheduler.charge(100);
        fence.signal(-5);
        if (seen.length > 9) yield POINT;
      })(),
      'sender',
    );
    machine.spawn(
      (function* (): Task<void> {
        seen.push(completion.isDone, all.isDone, fence.signalled);
        yield* completion.wait();
        seen.push(machine.clock.nowNs);
        yield* all.wait();
        seen.push(machine.clock.nowNs);
        seen.push(yield* fence.wait());
        seen.push(machine.clock.nowNs, fence.signalled);
      })(),
      'receiver',
    );
    machine.drain();
    expect(seen).toEqual([false, false, false, 100, 200, -5, 300, true]);
  });

  it('starts spawned tasks and queued work at the instant of whoever sends them', () => {
    const machine = timedMachine();
    const queue = new WorkQueue(machine, 'q');
    const seen: number[] = [];
    const note = function* (): Task<void> {
      seen.push(machine.clock.nowNs);
      machine.scheduler.charge(1000);
      if (seen.length > 9) yield POINT;
    };
    machine.run(
      (function* (): Task<void> {
        machine.scheduler.charge(10);
        machine.spawn(note(), 'child');
        machine.scheduler.charge(10);
        queue.queueWork(new Work(note));
        machine.scheduler.charge(10);
        queue.queueWork(new Work(note));
        yield* queue.flush();
        seen.push(machine.clock.nowNs);
      })(),
    );
    expect(seen).toEqual([10, 20, 1020, 2020]);
    expect(machine.ledger.live()).toEqual([]);
  });
});
