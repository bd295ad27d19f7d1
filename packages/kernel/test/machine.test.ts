import { describe, expect, it } from 'vitest';
import { defineTracepoint, KERNEL_PROFILES, Machine, Mutex, WARN, type WarnEvent } from '../src/index.ts';

describe('Machine', () => {
  it('models linux-7.3 with one CPU and seed 1 unless told otherwise', () => {
    const machine = new Machine();
    expect([machine.profile, machine.cpus, machine.choice.seed]).toEqual([
      KERNEL_PROFILES['linux-7.3'],
      1,
      1,
    ]);
    expect(new Machine({ profile: 'linux-6.12' }).profile.name).toBe('linux-6.12');
    const own = { ...KERNEL_PROFILES.next, hmm: { ...KERNEL_PROFILES.next.hmm, deviceThp: false } };
    expect(new Machine({ profile: own }).profile).toBe(own);
  });

  it('refuses unknown profiles, seeds and CPU counts with the offending value', () => {
    expect(() => new Machine({ profile: 'linux-2.4' as 'next' })).toThrow(
      /unknown kernel profile linux-2.4: use one of linux-6.12/,
    );
    expect(() => new Machine({ profile: 'toString' as 'next' })).toThrow(RangeError);
    expect(() => new Machine({ cpus: 0 })).toThrow(new RangeError('a machine needs at least one CPU, got 0'));
    expect(() => new Machine({ seed: 1.5 })).toThrow(RangeError);
  });

  it('counts and traces a warning, and goes on', () => {
    const machine = new Machine();
    machine.warn('f: before', 'nobody listens');
    const seen: WarnEvent[] = [];
    machine.trace.on(WARN, (event) => seen.push(event));
    machine.warn('f: x > 0', 'x is 0');
    expect(machine.warnings).toBe(2);
    expect(machine.counters.snapshot().get('machine.warn')).toBe(2);
    expect(seen).toEqual([{ site: 'f: x > 0', message: 'x is 0' }]);
  });

  it('warns once per site with warnOnce', () => {
    const machine = new Machine();
    for (let i = 0; i < 3; i++) machine.warnOnce('f: a', 'a');
    machine.warnOnce('f: b', 'b');
    expect(machine.warnings).toBe(2);
  });

  it('never sees another machine', () => {
    const tracepoint = defineTracepoint<number>('event');
    const [a, b] = [new Machine({ seed: 5 }), new Machine({ seed: 5 })];
    const heard: number[] = [];
    b.trace.on(tracepoint, (n) => heard.push(n));
    a.trace.onAll(() => heard.push(-1));
    a.trace.point(tracepoint).emit(1);
    a.counters.group('g', ['n']).values[0]! += 3;
    a.clock.advance(100);
    a.faultInjection.failNth('site', 1);
    a.warnOnce('site', 'message');
    a.choose(10);
    new Mutex(a, 'm').tryLock();
    a.ledger.register(() => [{ kind: 'thing', count: 1, detail: 'x' }]);
    expect(heard).toEqual([-1, -1]);
    expect(b.counters.group('g', ['n']).values[0]).toBe(0);
    expect(b.clock.nowNs).toBe(0);
    expect(b.faultInjection.site('site').shouldFail()).toBe(false);
    expect(b.warnings).toBe(0);
    expect(b.choice.count).toBe(0);
    expect(b.currentTask().held).toEqual([]);
    expect(b.ledger.live()).toEqual([]);
  });
});
