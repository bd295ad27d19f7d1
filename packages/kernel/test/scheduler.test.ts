import { describe, expect, it } from 'vitest';
import {
  Machine,
  random,
  runToCompletion,
  schedPoint,
  type SchedulerStrategy,
  type Task,
  WaitQueue,
} from '../src/index.ts';

const POINT = schedPoint('test');

function* steps(name: string, n: number, log: string[]): Task<string> {
  for (let i = 0; i < n; i++) {
    log.push(`${name}${i}`);
    yield POINT;
  }
  return name;
}

/** Order in which three tasks of four steps run. */
function interleaving(strategy: SchedulerStrategy, seed: number): string {
  const machine = new Machine({ seed, strategy });
  const log: string[] = [];
  for (const name of ['a', 'b', 'c']) machine.spawn(steps(name, 4, log), name);
  machine.drain();
  return log.join(' ');
}

describe('Scheduler', () => {
  it('returns what the task returns and leaves nothing alive', () => {
    const machine = new Machine();
    expect(machine.run(steps('a', 2, []))).toBe('a');
    expect(machine.scheduler.tasks()).toEqual([]);
    expect(machine.scheduler.current).toBeNull();
    expect(machine.ledger.live()).toEqual([]);
  });

  it('serves tasks round by round when it runs to completion, whatever the seed', () => {
    const order = 'a0 b0 c0 a1 b1 c1 a2 b2 c2 a3 b3 c3';
    expect(interleaving(runToCompletion(), 1)).toBe(order);
    expect(interleaving(runToCompletion(), 2)).toBe(order);
  });

  it('gives the same interleaving for the same seed and others for other seeds', () => {
    const seeds = Array.from({ length: 20 }, (_, i) => i);
    const first = seeds.map((seed) => interleaving(random(), seed));
    expect(seeds.map((seed) => interleaving(random(), seed))).toEqual(first);
    expect(new Set(first).size).toBeGreaterThan(15);
  });

  it('keeps the random order fixed across releases', () => {
    expect(interleaving(random(), 1)).toMatchInlineSnapshot(`"b0 b1 b2 b3 c0 a0 c1 a1 c2 a2 a3 c3"`);
  });

  it('keeps each task in its own order under the random strategy', () => {
    for (let seed = 0; seed < 10; seed++) {
      const order = interleaving(random(), seed).split(' ');
      for (const name of ['a', 'b', 'c']) {
        expect(order.filter((step) => step.startsWith(name))).toEqual([0, 1, 2, 3].map((i) => `${name}${i}`));
      }
    }
  });

  it('declares preemption points off in fast mode and on otherwise', () => {
    expect(new Machine().scheduler.preemptive).toBe(false);
    expect(new Machine({ strategy: random() }).scheduler.preemptive).toBe(true);
  });

  it('runs what the task spawned before it returns', () => {
    const machine = new Machine();
    const log: string[] = [];
    machine.run(
      (function* (): Task<void> {
        machine.spawn(steps('child', 1, log), 'child');
        log.push('parent');
        if (log.length > 9) yield POINT;
      })(),
    );
    expect(log).toEqual(['parent', 'child0']);
  });

  it('wakes sleepers in order of their instant, and of going to sleep within one instant', () => {
    const machine = new Machine();
    const log: string[] = [];
    const sleeper = function* (name: string, ns: number): Task<void> {
      yield { kind: 'sleep', ns };
      log.push(`${name}@${machine.clock.nowNs}`);
    };
    for (const [name, ns] of [
      ['d', 40],
      ['a', 10],
      ['c', 30],
      ['b', 10],
      ['e', 0],
    ] as const)
      machine.spawn(sleeper(name, ns), name);
    machine.drain();
    expect(log).toEqual(['e@0', 'a@10', 'b@10', 'c@30', 'd@40']);
  });

  it('keeps a thousand sleepers in order', () => {
    const machine = new Machine({ seed: 3 });
    const woken: number[] = [];
    const sleeper = function* (ns: number): Task<void> {
      yield { kind: 'sleep', ns };
      woken.push(ns);
    };
    const spans = Array.from({ length: 1000 }, () => machine.choose(500));
    for (const ns of spans) machine.spawn(sleeper(ns), 'sleeper');
    machine.drain();
    expect(woken).toEqual(spans.toSorted((a, b) => a - b));
    expect(machine.clock.nowNs).toBe(Math.max(...spans));
  });

  it('does not let busy tasks starve a sleeper whose instant has come', () => {
    const machine = new Machine();
    const sleep = { over: false };
    let rounds = 0;
    machine.spawn(
      (function* (): Task<void> {
        yield { kind: 'sleep', ns: 50 };
        sleep.over = true;
      })(),
      'sleeper',
    );
    machine.run(
      (function* (): Task<void> {
        while (!sleep.over) {
          rounds++;
          machine.scheduler.charge(10);
          yield POINT;
        }
      })(),
    );
    expect(rounds).toBe(6);
  });

  it('passes on what a task throws and forgets the task', () => {
    const machine = new Machine();
    const failing = function* (): Task<void> {
      yield POINT;
      throw new Error('broken');
    };
    expect(() => machine.run(failing())).toThrow('broken');
    expect(machine.ledger.live()).toEqual([]);
    expect(machine.run(steps('next', 1, []))).toBe('next');
  });

  it('passes on what a spawned task throws, naming nothing else as failed', () => {
    const machine = new Machine();
    const log: string[] = [];
    const child = machine.spawn(
      (function* (): Task<void> {
        yield POINT;
        throw new Error('child broken');
      })(),
      'child',
    );
    expect(() => machine.run(steps('main', 5, log))).toThrow('child broken');
    expect(child.state).toBe('failed');
    expect(child.error).toEqual(new Error('child broken'));
    machine.drain();
    expect(log).toHaveLength(5);
  });

  it('refuses run and drain inside a task, and inside a strategy', () => {
    const machine = new Machine();
    const nested = function* (call: () => void): Task<void> {
      yield POINT;
      call();
    };
    expect(() =>
      machine.run(
        nested(() => machine.run(steps('x', 1, []), 'inner')),
        'outer',
      ),
    ).toThrow('run(inner) inside task outer: call it with yield*');
    expect(() =>
      machine.run(
        nested(() => machine.drain()),
        'outer',
      ),
    ).toThrow('drain() inside task outer');
    const strategy: SchedulerStrategy = {
      ...random(),
      pick: () => other.run(steps('x', 1, []), 'inner').length,
    };
    const other = new Machine({ strategy });
    other.spawn(steps('a', 1, []), 'a');
    expect(() => other.run(steps('b', 1, []))).toThrow('run(inner) while the scheduler runs');
  });

  it('refuses a strategy that picks nobody', () => {
    const machine = new Machine({ strategy: { ...random(), name: 'odd', pick: () => 7 } });
    machine.spawn(steps('a', 1, []), 'a');
    expect(() => machine.run(steps('b', 1, []))).toThrow(new RangeError('strategy odd picked task 7 of 2'));
  });

  it('refuses to sleep for a span that is none', () => {
    for (const ns of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
      const machine = new Machine();
      const sleeper = function* (): Task<void> {
        yield { kind: 'sleep', ns };
      };
      expect(() => machine.run(sleeper())).toThrow(RangeError);
    }
  });

  it('ignores waking a task that is not blocked', () => {
    const machine = new Machine();
    const log: string[] = [];
    const handle = machine.spawn(steps('a', 1, log), 'a');
    machine.scheduler.wake(handle);
    machine.drain();
    machine.scheduler.wake(handle);
    machine.drain();
    expect(log).toEqual(['a0']);
  });

  it('leaves tasks waiting for work after a run, but not after a drain', () => {
    const machine = new Machine();
    const queue = new WaitQueue(machine.scheduler, 'work');
    machine.spawn(queue.wait(), 'daemon');
    machine.run(steps('main', 1, []));
    expect(machine.ledger.live()).toEqual([{ kind: 'task', count: 1, detail: 'daemon' }]);
    expect(() => machine.drain()).toThrow('daemon waits for work');
    queue.wakeAll();
    machine.drain();
    expect(machine.ledger.live()).toEqual([]);
  });
});
