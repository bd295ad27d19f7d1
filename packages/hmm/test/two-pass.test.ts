import { EAGAIN, EINTR, ENOMEM, done, random, type KernelProfileName, type Task } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import {
  type FinishSlot,
  MmuIntervalNotifier,
  type MmuIntervalNotifierFinish,
  type MmuIntervalNotifierOps,
  type MmuNotifierRange,
  mmuIntervalNotifierInsert,
  mmuIntervalNotifierInsertLocked,
  mmuIntervalNotifierRemove,
  mmuIntervalReadBegin,
  mmuIntervalReadRetry,
  mmuIntervalSetSeq,
  mmuNotifierInvalidateRangeEnd,
  mmuNotifierInvalidateRangeStart,
  mmuNotifierRange,
  oomReap,
} from '../src/index.ts';
import { block, exitAll, RW, World } from './support/world.ts';

const P = block(8);

/** A subscriber with both passes and the old callback, which writes down what is called. */
class TwoPass implements MmuIntervalNotifierOps {
  readonly sub = new MmuIntervalNotifier();
  readonly finish: MmuIntervalNotifierFinish = { notifier: null };
  refuse = false;
  handOver = true;
  readonly name: string;
  readonly log: string[];

  constructor(name: string, log: string[]) {
    this.name = name;
    this.log = log;
  }

  invalidate(sub: MmuIntervalNotifier, _range: MmuNotifierRange, seq: number): Task<boolean> {
    this.log.push(`one ${this.name}`);
    mmuIntervalSetSeq(sub, seq);
    return done(true);
  }

  invalidateStart(
    sub: MmuIntervalNotifier,
    _range: MmuNotifierRange,
    seq: number,
    slot: FinishSlot,
  ): Task<boolean> {
    this.log.push(`start ${this.name}`);
    if (this.handOver) slot.finish = this.finish;
    if (this.refuse) return done(false);
    mmuIntervalSetSeq(sub, seq);
    return done(true);
  }

  invalidateFinish(finish: MmuIntervalNotifierFinish): Task<void> {
    expect(finish).toBe(this.finish);
    expect(finish.notifier).toBe(this.sub);
    expect(this.sub.mm!.notifiers!.active.size).toBeGreaterThan(0);
    this.log.push(`finish ${this.name}`);
    return done(undefined);
  }
}

function play(
  profile: KernelProfileName,
  body: (w: World, subs: TwoPass[], log: string[]) => Task<void>,
): void {
  const w = new World({ profile });
  const log: string[] = [];
  const subs = ['a', 'b', 'c'].map((name) => new TwoPass(name, log));
  w.run(
    (function* () {
      for (const [i, s] of subs.entries()) {
        expect(yield* mmuIntervalNotifierInsert(s.sub, w.mm, P + i, 8, s)).toBe(0);
      }
      yield* body(w, subs, log);
      for (const s of subs) yield* mmuIntervalNotifierRemove(s.sub);
      yield* exitAll(w.folios);
    })(),
  );
  expect(w.machine.ledger.live()).toEqual([]);
}

describe('two-pass invalidation', () => {
  test('runs every first pass before the second ones, which run inside the start, in order', () => {
    play('linux-7.3', function* (w, subs, log) {
      subs[1]!.handOver = false;
      const range = mmuNotifierRange('CLEAR', P, P + 8);
      expect(yield* mmuNotifierInvalidateRangeStart(w.mm, range)).toBe(0);
      expect(log).toEqual(['start a', 'start b', 'start c', 'finish a', 'finish c']);
      yield* mmuNotifierInvalidateRangeEnd(w.mm, range);
      expect(log).toHaveLength(5);
    });
  });

  test('is not there before 7.3: the one callback is called', () => {
    for (const profile of ['linux-6.12', 'linux-7.0', 'linux-7.2'] as const) {
      play(profile, function* (w, _subs, log) {
        const range = mmuNotifierRange('CLEAR', P, P + 1);
        expect(yield* mmuNotifierInvalidateRangeStart(w.mm, range)).toBe(0);
        yield* mmuNotifierInvalidateRangeEnd(w.mm, range);
        expect(log).toEqual(['one a']);
      });
    }
  });

  test('a refusal ends the first passes, drops its own finish, runs those of the others, and undoes the start', () => {
    play('linux-7.3', function* (w, subs, log) {
      subs[1]!.refuse = true;
      const range = { ...mmuNotifierRange('CLEAR', P, P + 8), blockable: false };
      expect(yield* mmuNotifierInvalidateRangeStart(w.mm, range)).toBe(-EAGAIN);
      expect(log).toEqual(['start a', 'start b', 'finish a']);
      expect([w.mm.notifiers!.active.size, w.mm.notifiers!.invalidating]).toEqual([0, false]);
      const seq = yield* mmuIntervalReadBegin(subs[0]!.sub);
      expect(mmuIntervalReadRetry(subs[0]!.sub, seq)).toBe(false);
    });
  });

  test('RELEASE at exit finishes too', () => {
    play('linux-7.3', function* (w, _subs, log) {
      yield* w.mm.exit();
      expect(log).toEqual(['start a', 'start b', 'start c', 'finish a', 'finish b', 'finish c']);
    });
  });

  test('without a second pass warns once; without any callback for this kernel is misuse', () => {
    const w = new World({ profile: 'linux-7.3' });
    const first: MmuIntervalNotifierOps = { invalidateStart: () => done(true) };
    w.run(
      (function* () {
        const a = new MmuIntervalNotifier();
        const b = new MmuIntervalNotifier();
        expect(yield* mmuIntervalNotifierInsert(a, w.mm, P, 1, first)).toBe(0);
        expect(yield* mmuIntervalNotifierInsert(b, w.mm, P, 1, first)).toBe(0);
        expect(w.machine.warnings).toBeGreaterThan(0);
        yield* mmuIntervalNotifierRemove(a);
        yield* mmuIntervalNotifierRemove(b);
      })(),
    );
    const old = new World({ profile: 'linux-7.2' });
    expect(() => old.run(mmuIntervalNotifierInsert(new MmuIntervalNotifier(), old.mm, P, 1, first))).toThrow(
      TypeError,
    );
  });
});

describe('the first subscription of an address space', () => {
  test('may fail for memory and for a signal, and leaves nothing then', () => {
    const w = new World();
    const s = new TwoPass('a', []);
    w.run(
      (function* () {
        w.machine.faultInjection.failNth('hmm.notifier_alloc', 1);
        expect(yield* mmuIntervalNotifierInsert(s.sub, w.mm, P, 1, s)).toBe(-ENOMEM);
        w.machine.faultInjection.failNth('hmm.fatal_signal', 1);
        expect(yield* mmuIntervalNotifierInsert(s.sub, w.mm, P, 1, s)).toBe(-EINTR);
        expect([w.mm.notifiers, w.mm.count]).toEqual([null, 1]);
        yield* w.mm.mmapLock.downWrite();
        w.machine.faultInjection.failNth('hmm.notifier_alloc', 1);
        expect(mmuIntervalNotifierInsertLocked(s.sub, w.mm, P, 1, s)).toBe(-ENOMEM);
        w.machine.faultInjection.failNth('hmm.fatal_signal', 1);
        expect(mmuIntervalNotifierInsertLocked(s.sub, w.mm, P, 1, s)).toBe(-EINTR);
        expect(mmuIntervalNotifierInsertLocked(s.sub, w.mm, P, 1, s)).toBe(0);
        w.mm.mmapLock.upWrite();
        yield* mmuIntervalNotifierRemove(s.sub);
        yield* w.mm.exit();
      })(),
    );
    expect(w.machine.ledger.live()).toEqual([]);
    const bare = new World();
    expect(() =>
      bare.run(
        (function* (): Task<void> {
          mmuIntervalNotifierInsertLocked(s.sub, bare.mm, P, 1, s);
          yield* [];
        })(),
      ),
    ).toThrow(/mmap_lock/);
  });

  test('waits for whoever holds the mmap lock', () => {
    const w = new World();
    const s = new TwoPass('a', []);
    const order: string[] = [];
    w.run(
      (function* () {
        yield* w.mm.mmapLock.downRead();
        w.machine.spawn(
          (function* () {
            yield* mmuIntervalNotifierInsert(s.sub, w.mm, P, 1, s);
            order.push('inserted');
          })(),
          'insert',
        );
        yield { kind: 'sleep', ns: 10 };
        order.push('unlocked');
        w.mm.mmapLock.upRead();
      })(),
    );
    expect(order).toEqual(['unlocked', 'inserted']);
  });
});

test('the OOM reaper gives a VMA up whose subscription would have to sleep, and takes the others', () => {
  play('linux-7.3', function* (w, subs) {
    yield* w.map(P, 2, RW, 5);
    yield* w.map(P + 64, 2, RW, 7);
    subs[0]!.refuse = true;
    expect(yield* oomReap(w.mm)).toBe(false);
    expect([w.mm.entryKind(P), w.mm.entryKind(P + 64)]).toEqual(['present', 'none']);
    subs[0]!.refuse = false;
    expect(yield* oomReap(w.mm)).toBe(true);
    expect(w.mm.entryKind(P)).toBe('none');
  });
});

test('inserts and removes during invalidations take effect when the last one ends, under random schedules', () => {
  for (let seed = 1; seed <= 80; seed++) {
    const w = new World({ profile: 'linux-7.3', seed, strategy: random() });
    const log: string[] = [];
    const gone: string[] = [];
    // Nobody who was removed is ever called again.
    log.push = (line) => {
      expect(gone, `seed ${seed}`).not.toContain(line.slice(-1));
      return 0;
    };
    const subs = Array.from({ length: 6 }, (_, i) => new TwoPass(`${i}`, log));
    w.run(
      (function* () {
        for (const s of subs.slice(0, 2)) yield* mmuIntervalNotifierInsert(s.sub, w.mm, P, 8, s);
      })(),
    );
    for (let i = 0; i < 3; i++) {
      w.machine.spawn(
        (function* () {
          const range = mmuNotifierRange('CLEAR', P + i, P + i + 2);
          yield* mmuNotifierInvalidateRangeStart(w.mm, range);
          yield* mmuNotifierInvalidateRangeEnd(w.mm, range);
        })(),
        `invalidate ${i}`,
      );
    }
    for (const s of subs.slice(2)) {
      w.machine.spawn(
        (function* () {
          yield* mmuIntervalNotifierInsert(s.sub, w.mm, P, 8, s);
          const seq = yield* mmuIntervalReadBegin(s.sub);
          expect(seq % 2).toBe(1);
          yield* mmuIntervalNotifierRemove(s.sub);
          gone.push(s.name);
        })(),
        `user ${s.name}`,
      );
    }
    w.machine.drain();
    const subscriptions = w.mm.notifiers!;
    expect([subscriptions.active.size, subscriptions.deferred.size, subscriptions.invalidating]).toEqual([
      0,
      0,
      false,
    ]);
    w.run(
      (function* () {
        for (const s of subs.slice(0, 2)) yield* mmuIntervalNotifierRemove(s.sub);
        yield* w.mm.exit();
      })(),
    );
    expect(w.machine.ledger.live(), `seed ${seed}`).toEqual([]);
  }
});
