import { describe, expect, it } from 'vitest';
import { done, Machine, type Task, WaitQueue } from '../src/index.ts';

describe('WaitQueue', () => {
  it('wakes one by one in order of arrival, or everybody', () => {
    const machine = new Machine();
    const queue = new WaitQueue(machine.scheduler, 'event');
    const log: string[] = [];
    const waiter = function* (name: string): Task<void> {
      yield* queue.wait();
      log.push(name);
    };
    for (const name of ['a', 'b', 'c', 'd']) machine.spawn(waiter(name), name);
    machine.run(done(undefined));
    expect(queue.length).toBe(4);
    queue.wakeOne();
    machine.run(done(undefined));
    expect(log).toEqual(['a']);
    queue.wakeAll();
    machine.drain();
    expect(log).toEqual(['a', 'b', 'c', 'd']);
    expect(queue.length).toBe(0);
    queue.wakeOne();
    queue.wakeAll();
  });

  it('asks the condition before the first sleep and after every wake-up', () => {
    const machine = new Machine();
    const queue = new WaitQueue(machine.scheduler, 'event');
    let asked = 0;
    machine.run(queue.waitUntil(() => ++asked > 0));
    expect(asked).toBe(1);
    const handle = machine.spawn(
      queue.waitUntil(() => ++asked > 3),
      'waiter',
    );
    machine.run(done(undefined));
    expect(asked).toBe(2);
    queue.wakeAll();
    machine.run(done(undefined));
    expect([asked, handle.ended]).toEqual([3, false]);
    queue.wakeAll();
    machine.drain();
    expect([asked, handle.ended]).toEqual([4, true]);
  });

  it('cannot be waited for outside of a task', () => {
    const queue = new WaitQueue(new Machine().scheduler, 'event');
    expect(() => queue.wait().next()).toThrow('wait for event outside of a task');
    expect(queue.length).toBe(0);
  });

  it('names in reports who has to act', () => {
    const machine = new Machine();
    const device = machine.spawn(new WaitQueue(machine.scheduler, 'doorbell').wait(), 'device');
    const queue = new WaitQueue(machine.scheduler, 'answer', () => [device]);
    expect(() => machine.run(queue.wait(), 'driver')).toThrow('driver waits for answer (held by device)');
  });
});
