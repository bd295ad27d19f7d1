import { describe, expect, it } from 'vitest';
import { Machine, schedPoint, type Task, Work, WorkQueue } from '../src/index.ts';

const POINT = schedPoint('test');

function setUp(): { machine: Machine; queue: WorkQueue; log: string[]; work: (name: string) => Work } {
  const machine = new Machine();
  const log: string[] = [];
  const work = (name: string): Work =>
    new Work(function* (): Task<void> {
      log.push(`+${name}`);
      yield POINT;
      log.push(`-${name}`);
    });
  return { machine, queue: new WorkQueue(machine, 'q'), log, work };
}

describe('WorkQueue', () => {
  it('runs works one after the other in order of queueing', () => {
    const { machine, queue, log, work } = setUp();
    for (const name of ['a', 'b', 'c']) expect(queue.queueWork(work(name))).toBe(true);
    machine.drain();
    expect(log).toEqual(['+a', '-a', '+b', '-b', '+c', '-c']);
    expect(machine.ledger.live()).toEqual([]);
  });

  it('queues pending work once', () => {
    const { machine, queue, log, work } = setUp();
    const a = work('a');
    expect([queue.queueWork(a), a.pending, queue.queueWork(a)]).toEqual([true, true, false]);
    machine.drain();
    expect(log).toEqual(['+a', '-a']);
    expect(a.pending).toBe(false);
  });

  it('runs work again that is queued while it runs', () => {
    const { machine, queue } = setUp();
    let runs = 0;
    const again: Work = new Work(function* (): Task<void> {
      runs++;
      expect(again.pending).toBe(false);
      yield POINT;
      if (runs < 3) queue.queueWork(again);
    });
    queue.queueWork(again);
    machine.drain();
    expect(runs).toBe(3);
  });

  it('does not run cancelled work, and says whether it was pending', () => {
    const { machine, queue, log, work } = setUp();
    const [a, b] = [work('a'), work('b')];
    queue.queueWork(a);
    queue.queueWork(b);
    expect([queue.cancelWork(a), queue.cancelWork(a), a.pending]).toEqual([true, false, false]);
    machine.drain();
    expect(log).toEqual(['+b', '-b']);
    expect(queue.queueWork(a)).toBe(true);
    machine.drain();
    expect(log).toEqual(['+b', '-b', '+a', '-a']);
  });

  it('refuses to cancel work of another queue, which stays pending', () => {
    const { machine, queue, work } = setUp();
    const a = work('a');
    new WorkQueue(machine, 'other').queueWork(a);
    expect(() => queue.cancelWork(a)).toThrow(RangeError);
    expect(a.pending).toBe(true);
    machine.drain();
  });

  it('flushes what was queued so far, and not what is queued later', () => {
    const { machine, queue, log, work } = setUp();
    const forever: Work = new Work(function* (): Task<void> {
      log.push('round');
      yield POINT;
      if (log.length < 50) queue.queueWork(forever);
    });
    queue.queueWork(work('a'));
    queue.queueWork(forever);
    let flushedAt = -1;
    machine.run(
      (function* (): Task<void> {
        yield* queue.flush();
        flushedAt = log.length;
      })(),
    );
    expect(log.slice(0, 3)).toEqual(['+a', '-a', 'round']);
    expect(flushedAt).toBeGreaterThanOrEqual(3);
    expect(flushedAt).toBeLessThan(6);
    expect(log).toHaveLength(50);
  });

  it('flushes at once when nothing is queued, and past cancelled work', () => {
    const { machine, queue, log, work } = setUp();
    machine.run(queue.flush());
    const a = work('a');
    const b = work('b');
    queue.queueWork(a);
    queue.queueWork(b);
    const flush = machine.spawn(queue.flush(), 'flush');
    queue.cancelWork(a);
    queue.cancelWork(b);
    machine.drain();
    expect([flush.state, log]).toEqual(['done', []]);
  });

  it('reports a flush from inside its own work as a deadlock', () => {
    const { machine, queue } = setUp();
    queue.queueWork(new Work(() => queue.flush()));
    expect(() => machine.drain()).toThrow('worker q waits for flush of q (held by worker q)');
  });

  it('goes on with later works after one that threw', () => {
    const { machine, queue, log, work } = setUp();
    queue.queueWork(
      new Work(function* (): Task<void> {
        yield POINT;
        throw new Error('broken work');
      }),
    );
    expect(() => machine.drain()).toThrow('broken work');
    queue.queueWork(work('a'));
    machine.drain();
    expect(log).toEqual(['+a', '-a']);
    expect(machine.ledger.live()).toEqual([]);
  });
});
