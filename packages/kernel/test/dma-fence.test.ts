import { describe, expect, it } from 'vitest';
import { DmaFence, EIO, Machine, type Task } from '../src/index.ts';

function* collect(fence: DmaFence, into: number[]): Task<void> {
  into.push(yield* fence.wait());
}

describe('DmaFence', () => {
  it('lets present and future waiters go on with its error', () => {
    const machine = new Machine();
    const fence = new DmaFence(machine, 'f');
    const results: number[] = [];
    machine.spawn(collect(fence, results), 'early');
    machine.spawn(
      (function* (): Task<void> {
        yield { kind: 'sleep', ns: 5 };
        fence.signal(-EIO);
      })(),
      'device',
    );
    machine.drain();
    machine.run(collect(fence, results), 'late');
    expect(results).toEqual([-EIO, -EIO]);
    expect(fence.error).toBe(-EIO);
  });

  it('is signalled once: a second signal changes nothing', () => {
    const machine = new Machine();
    const fence = new DmaFence(machine, 'f');
    expect([fence.signalled, fence.error]).toEqual([false, 0]);
    fence.signal();
    fence.signal(-EIO);
    expect([fence.signalled, fence.error]).toEqual([true, 0]);
    expect(machine.run(fence.wait())).toBe(0);
  });

  it('names itself when nobody signals it', () => {
    const machine = new Machine();
    expect(() => machine.run(new DmaFence(machine, 'copy 7').wait(), 'main')).toThrow(
      'main waits for fence copy 7',
    );
  });
});
