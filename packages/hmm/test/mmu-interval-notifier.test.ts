import { EAGAIN, EINVAL, EOVERFLOW, random, type Task } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import {
  MmuIntervalNotifier,
  type MmuIntervalNotifierOps,
  type MmuNotifierRange,
  mmuIntervalNotifierInsert,
  mmuIntervalNotifierRemove,
  mmuIntervalReadBegin,
  mmuIntervalReadRetry,
  mmuIntervalSetSeq,
  mmuNotifierInvalidateRangeEnd,
  mmuNotifierInvalidateRangeStart,
  mmuNotifierRange,
} from '../src/index.ts';
import { eventName, RW, THP, World, block } from './support/world.ts';

/** A subscriber that records what it is told. */
class Recorder implements MmuIntervalNotifierOps {
  readonly events: string[] = [];
  readonly sub = new MmuIntervalNotifier();
  refuse = false;

  // biome-ignore lint: nothing to wait for
  *invalidate(sub: MmuIntervalNotifier, range: MmuNotifierRange, seq: number): Task<boolean> {
    this.events.push(eventName(range));
    if (this.refuse) return false;
    mmuIntervalSetSeq(sub, seq);
    return true;
  }
}

const clear = (from: number, to: number): MmuNotifierRange => mmuNotifierRange('CLEAR', from, to);

describe('the sequence protocol', () => {
  test('starts at 2 and gives a fresh subscription an odd sequence that is readable at once', () => {
    const w = new World();
    const r = new Recorder();
    w.run(
      (function* () {
        expect(yield* mmuIntervalNotifierInsert(r.sub, w.mm, 10, 10, r)).toBe(0);
        expect(w.mm.notifiers!.invalidateSeq).toBe(2);
        expect(r.sub.invalidateSeq).toBe(1);
        const seq = yield* mmuIntervalReadBegin(r.sub);
        expect(seq).toBe(1);
        expect(mmuIntervalReadRetry(r.sub, seq)).toBe(false);
        yield* mmuIntervalNotifierRemove(r.sub);
        yield* w.mm.exit();
      })(),
    );
    expect(w.live()).toEqual([]);
  });

  test('an invalidation that overlaps nobody leaves the sequence alone', () => {
    const w = new World();
    const r = new Recorder();
    w.run(
      (function* () {
        yield* mmuIntervalNotifierInsert(r.sub, w.mm, 10, 10, r);
        const range = clear(20, 30);
        yield* mmuNotifierInvalidateRangeStart(w.mm, range);
        expect(w.mm.notifiers!.invalidateSeq).toBe(2);
        yield* mmuNotifierInvalidateRangeEnd(w.mm, range);
        expect(w.mm.notifiers!.invalidateSeq).toBe(2);
        expect(r.events).toEqual([]);
      })(),
    );
  });

  test('nested invalidations share one odd sequence; the last end makes it even', () => {
    const w = new World();
    const a = new Recorder();
    const b = new Recorder();
    w.run(
      (function* () {
        yield* mmuIntervalNotifierInsert(a.sub, w.mm, 0, 10, a);
        yield* mmuIntervalNotifierInsert(b.sub, w.mm, 10, 10, b);
        const first = clear(0, 5);
        const second = clear(12, 14);
        yield* mmuNotifierInvalidateRangeStart(w.mm, first);
        yield* mmuNotifierInvalidateRangeStart(w.mm, second);
        expect([a.sub.invalidateSeq, b.sub.invalidateSeq]).toEqual([3, 3]);
        yield* mmuNotifierInvalidateRangeEnd(w.mm, first);
        expect(w.mm.notifiers!.invalidateSeq).toBe(3);
        yield* mmuNotifierInvalidateRangeEnd(w.mm, second);
        expect(w.mm.notifiers!.invalidateSeq).toBe(4);
        expect(mmuIntervalReadRetry(a.sub, 1)).toBe(true);
      })(),
    );
  });

  test('the interval is inclusive of its last page and callbacks come in interval order', () => {
    const w = new World();
    const a = new Recorder();
    const b = new Recorder();
    w.run(
      (function* () {
        yield* mmuIntervalNotifierInsert(b.sub, w.mm, 15, 10, b);
        yield* mmuIntervalNotifierInsert(a.sub, w.mm, 10, 10, a);
        const order: string[] = [];
        const stop = w.machine.trace.onAll((e) => order.push(e.name));
        const range = clear(19, 20);
        yield* mmuNotifierInvalidateRangeStart(w.mm, range);
        yield* mmuNotifierInvalidateRangeEnd(w.mm, range);
        stop();
        expect(order).toEqual(['mmu_notifier_invalidate', 'mmu_notifier_invalidate']);
        expect(a.events).toEqual(['CLEAR 19..20']);
        expect(b.events).toEqual(['CLEAR 19..20']);
        const before = clear(9, 10);
        yield* mmuNotifierInvalidateRangeStart(w.mm, before);
        yield* mmuNotifierInvalidateRangeEnd(w.mm, before);
        expect(a.events.length).toBe(1);
      })(),
    );
  });

  test('a refusal of a non-blockable range is -EAGAIN and ends by itself', () => {
    const w = new World();
    const r = new Recorder();
    r.refuse = true;
    w.run(
      (function* () {
        yield* mmuIntervalNotifierInsert(r.sub, w.mm, 10, 10, r);
        const range = { ...clear(10, 11), blockable: false };
        expect(yield* mmuNotifierInvalidateRangeStart(w.mm, range)).toBe(-EAGAIN);
        expect(w.mm.notifiers!.active.size).toBe(0);
        expect(w.mm.notifiers!.invalidateSeq).toBe(4);
        expect(w.machine.warnings).toBe(0);
        expect(yield* mmuNotifierInvalidateRangeStart(w.mm, clear(10, 11))).toBe(0);
        expect(w.machine.warnings).toBe(1);
      })(),
    );
  });

  test('bad intervals are -EOVERFLOW, a process without users is -EINVAL', () => {
    const w = new World();
    const r = new Recorder();
    w.run(
      (function* () {
        expect(yield* mmuIntervalNotifierInsert(r.sub, w.mm, 10, 0, r)).toBe(-EOVERFLOW);
        expect(yield* mmuIntervalNotifierInsert(r.sub, w.mm, 2 ** 52, 2, r)).toBe(-EOVERFLOW);
        w.mm.mmgrab();
        yield* w.mm.exit();
        expect(yield* mmuIntervalNotifierInsert(r.sub, w.mm, 10, 1, r)).toBe(-EINVAL);
        expect(w.machine.warnings).toBe(1);
        w.mm.mmdrop();
      })(),
    );
    expect(w.live()).toEqual([]);
  });
});

describe('inserts and removes during an invalidation', () => {
  test('an insert under an odd sequence waits for the end and its reader too', () => {
    const w = new World();
    const a = new Recorder();
    const late = new Recorder();
    const range = clear(0, 5);
    let seqSeen = 0;
    w.run(
      (function* () {
        yield* mmuIntervalNotifierInsert(a.sub, w.mm, 0, 10, a);
        yield* mmuNotifierInvalidateRangeStart(w.mm, range);
        yield* mmuIntervalNotifierInsert(late.sub, w.mm, 0, 10, late);
        expect(w.mm.notifiers!.tree.has(late.sub)).toBe(false);
        w.machine.spawn(
          (function* () {
            seqSeen = yield* mmuIntervalReadBegin(late.sub);
          })(),
          'reader',
        );
        yield { kind: 'point', name: 'let the reader wait' };
        expect(seqSeen).toBe(0);
        yield* mmuNotifierInvalidateRangeEnd(w.mm, range);
        expect(w.mm.notifiers!.tree.has(late.sub)).toBe(true);
      })(),
    );
    expect(seqSeen).toBe(3);
    expect(late.events).toEqual([]);
  });

  test('an insert while only foreign ranges are active makes the sequence odd at once', () => {
    const w = new World();
    const a = new Recorder();
    const late = new Recorder();
    w.run(
      (function* () {
        yield* mmuIntervalNotifierInsert(a.sub, w.mm, 0, 10, a);
        const range = clear(50, 60);
        yield* mmuNotifierInvalidateRangeStart(w.mm, range);
        expect(w.mm.notifiers!.invalidateSeq).toBe(2);
        yield* mmuIntervalNotifierInsert(late.sub, w.mm, 55, 1, late);
        expect(w.mm.notifiers!.invalidateSeq).toBe(3);
        expect(w.mm.notifiers!.tree.has(late.sub)).toBe(true);
        yield* mmuNotifierInvalidateRangeEnd(w.mm, range);
        expect(w.mm.notifiers!.invalidateSeq).toBe(4);
      })(),
    );
  });

  test('a deferred insert that is removed again cancels out without waiting', () => {
    const w = new World();
    const a = new Recorder();
    const late = new Recorder();
    w.run(
      (function* () {
        yield* mmuIntervalNotifierInsert(a.sub, w.mm, 0, 10, a);
        const range = clear(0, 5);
        yield* mmuNotifierInvalidateRangeStart(w.mm, range);
        yield* mmuIntervalNotifierInsert(late.sub, w.mm, 0, 10, late);
        yield* mmuIntervalNotifierRemove(late.sub);
        expect(w.mm.notifiers!.deferred.size).toBe(0);
        yield* mmuNotifierInvalidateRangeEnd(w.mm, range);
        expect(w.mm.notifiers!.tree.size).toBe(1);
      })(),
    );
  });

  test('a remove sleeps until the running invalidation has ended', () => {
    const w = new World();
    const a = new Recorder();
    let removed = false;
    w.run(
      (function* () {
        yield* mmuIntervalNotifierInsert(a.sub, w.mm, 0, 10, a);
        const range = clear(0, 5);
        yield* mmuNotifierInvalidateRangeStart(w.mm, range);
        w.machine.spawn(
          (function* () {
            yield* mmuIntervalNotifierRemove(a.sub);
            removed = true;
          })(),
          'remover',
        );
        yield { kind: 'point', name: 'let the remover wait' };
        expect(removed).toBe(false);
        yield* mmuNotifierInvalidateRangeEnd(w.mm, range);
      })(),
    );
    expect(removed).toBe(true);
  });

  test('under random schedules parity holds, readers always end, and nothing is left', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const w = new World({ seed, strategy: random() });
      const subs = Array.from({ length: 3 }, () => new Recorder());
      let reads = 0;
      const invalidator = function* (from: number): Task<void> {
        for (let i = 0; i < 4; i++) {
          const range = clear(from + i, from + i + 3);
          yield* mmuNotifierInvalidateRangeStart(w.mm, range);
          const subs = w.mm.notifiers;
          if (subs?.invalidating === true && subs.active.size === 0) throw new Error('odd without a writer');
          yield* mmuNotifierInvalidateRangeEnd(w.mm, range);
        }
      };
      const reader = function* (r: Recorder, at: number): Task<void> {
        yield* mmuIntervalNotifierInsert(r.sub, w.mm, at, 4, r);
        for (let i = 0; i < 4; i++) {
          const seq = yield* mmuIntervalReadBegin(r.sub);
          if ((seq & 1) !== 1) throw new Error('even subscription sequence');
          yield { kind: 'point', name: 'reading' };
          const stale = mmuIntervalReadRetry(r.sub, seq);
          if (!stale && r.sub.invalidateSeq !== seq) throw new Error('retry lies');
          reads++;
        }
        yield* mmuIntervalNotifierRemove(r.sub);
      };
      subs.forEach((r, i) => w.machine.spawn(reader(r, 2 * i), `reader ${i}`));
      w.machine.spawn(invalidator(0), 'invalidator a');
      w.machine.spawn(invalidator(3), 'invalidator b');
      w.machine.drain();
      expect(reads).toBe(12);
      expect(w.mm.notifiers!.tree.size + w.mm.notifiers!.deferred.size + w.mm.notifiers!.active.size).toBe(0);
      w.run(w.mm.exit());
      expect(w.live()).toEqual([]);
    }
  });
});

describe('who sends which event', () => {
  const listen = (body: (w: World) => Task<void>): string[] => {
    const w = new World();
    const r = new Recorder();
    w.run(
      (function* () {
        yield* w.map(block(8), 512, THP, 1);
        yield* w.map(block(10), 8, RW, 1);
        yield* mmuIntervalNotifierInsert(r.sub, w.mm, 0, 2 ** 44, r);
        yield* body(w);
      })(),
    );
    return r.events;
  };
  const B = block(8);
  const S = block(10);

  test('munmap sends UNMAP for the range, and CLEAR of 2 MiB first where it cuts a huge page', () => {
    expect(listen((w) => asVoid(w.mm.munmap(S, 4)))).toEqual([`UNMAP ${S}..${S + 4}`]);
    expect(listen((w) => asVoid(w.mm.munmap(B, 100)))).toEqual([
      `CLEAR ${B}..${B + 512}`,
      `UNMAP ${B}..${B + 100}`,
    ]);
    expect(listen((w) => asVoid(w.mm.munmap(block(40), 4)))).toEqual([]);
  });

  test('mprotect sends PROTECTION_VMA where something is populated, and nothing when nothing changes', () => {
    const ro = { read: true, write: false };
    expect(listen((w) => asVoid(w.mm.mprotect(S + 1, 2, ro)))).toEqual([`PROTECTION_VMA ${S + 1}..${S + 3}`]);
    expect(listen((w) => asVoid(w.mm.mprotect(S, 8, RW)))).toEqual([]);
    expect(
      listen(function* (w) {
        yield* w.map(block(60), 4, RW);
        yield* w.mm.madviseDontneed(block(60), 4);
        yield* w.mm.mprotect(block(60), 4, ro);
      }),
    ).toEqual([`CLEAR ${block(60)}..${block(60) + 4}`]);
  });

  test('DONTNEED sends CLEAR, exit sends RELEASE for everything', () => {
    expect(listen((w) => asVoid(w.mm.madviseDontneed(S, 2)))).toEqual([`CLEAR ${S}..${S + 2}`]);
    expect(listen((w) => w.mm.exit())).toEqual([`RELEASE 0..${2 ** 52}`]);
  });

  test('a first touch sends nothing, a write to the zero page sends CLEAR for the page', () => {
    expect(
      listen(function* (w) {
        yield* w.map(block(12), 4, RW);
        yield* w.mm.cpuWrite(block(12), 1);
        yield* w.mm.cpuRead(block(12) + 1);
      }),
    ).toEqual([]);
    expect(
      listen(function* (w) {
        yield* w.map(block(12), 4, RW);
        yield* w.mm.cpuRead(block(12) + 1);
        yield* w.mm.cpuWrite(block(12) + 1, 1);
      }),
    ).toEqual([`CLEAR ${block(12) + 1}..${block(12) + 2}`]);
  });
});

function* asVoid(task: Task<unknown>): Task<void> {
  yield* task;
}
