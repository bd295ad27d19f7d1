import {
  EFAULT,
  EINVAL,
  ENOENT,
  EPERM,
  type KernelProfileName,
  Mutex,
  random,
  type Task,
} from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import { audit } from './support/audit.ts';
import { Dmirror } from './support/dmirror.ts';
import { block, MEASURED, RO, RW, THP, World } from './support/world.ts';

const P = block(8);
const SEEDS = 60;

/** A world whose device serialises its own faults and migrations, as a driver lock does (see bug B2 otherwise). */
class Race extends World {
  readonly dev: Dmirror;
  readonly lock: Mutex;

  constructor(seed: number, profile: KernelProfileName) {
    super({ seed, profile, strategy: random(), pages: 4096 });
    this.dev = new Dmirror(this.mm, 2048);
    this.lock = new Mutex(this.machine, 'driver');
  }

  *driver<T>(body: () => Task<T>): Task<T> {
    yield* this.lock.lock();
    try {
      return yield* body();
    } finally {
      this.lock.unlock();
    }
  }
}

/** For many seeds: set up, run all tasks against each other, check, tear down. */
function race(
  setUp: (w: Race) => Task<void>,
  tasks: (w: Race) => Task<void>[],
  after: (w: Race) => Task<void>,
  profile: KernelProfileName = 'linux-7.3',
): void {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const w = new Race(seed, profile);
    const main = function* (): Task<void> {
      yield* w.dev.open();
      yield* setUp(w);
    };
    w.run(main());
    tasks(w).forEach((task, i) => w.machine.spawn(task, `task ${i}`));
    w.machine.drain();
    expect(w.dev.stale(), `seed ${seed}`).toEqual([]);
    expect(audit(w.folios), `seed ${seed}`).toEqual([]);
    const end = function* (): Task<void> {
      yield* after(w);
      yield* w.dev.close();
      yield* w.mm.exit();
    };
    w.run(end());
    expect(w.machine.ledger.live(), `seed ${seed}`).toEqual([]);
    expect(w.dev.liveReferences, `seed ${seed}`).toBe(0);
    expect(w.machine.warnings).toBe(0);
  }
}

const nothing = function* (_w: Race): Task<void> {};

describe.each(MEASURED)('under random schedules on %s', (profile) => {
  test('munmap against a device read: an error or the right data, never a stale mapping', () => {
    race(
      (w) => w.map(P, 4, RW, 10),
      (w) => [
        (function* () {
          const got = yield* w.driver(() => w.dev.read(P, 4));
          if (typeof got === 'number') expect(got).toBe(-EFAULT);
          else expect(got).toEqual([10, 11, 12, 13]);
        })(),
        (function* () {
          expect(yield* w.mm.munmap(P, 4)).toBe(0);
        })(),
      ],
      function* (w) {
        expect(w.dev.mirror.size).toBe(0);
      },
      profile,
    );
  });

  test('mprotect against a device write: the write counts only while it was allowed', () => {
    race(
      (w) => w.map(P, 2, RW, 10),
      (w) => [
        (function* () {
          expect([0, -EPERM]).toContain(yield* w.driver(() => w.dev.write(P, 2, 50)));
        })(),
        (function* () {
          expect(yield* w.mm.mprotect(P, 2, RO)).toBe(0);
        })(),
      ],
      function* (w) {
        expect([10, 50]).toContain(yield* w.mm.cpuRead(P));
      },
      profile,
    );
  });

  test('migration to the device against CPU writes: every write survives', () => {
    race(
      (w) => w.map(P, 4, RW, 10),
      (w) => [
        (function* () {
          expect([0, -ENOENT]).toContain(yield* w.driver(() => w.dev.toDev(P, 4)));
        })(),
        (function* () {
          for (let i = 0; i < 4; i++) expect(yield* w.mm.cpuWrite(P + i, 90 + i)).toBe(0);
        })(),
      ],
      function* (w) {
        for (let i = 0; i < 4; i++) expect(yield* w.mm.cpuRead(P + i)).toBe(90 + i);
      },
      profile,
    );
  });

  test('filling holes on the device against CPU first touch: one winner, no page lost', () => {
    race(
      (w) => w.map(P, 4, RW),
      (w) => [
        (function* () {
          yield* w.driver(() => w.dev.toDev(P, 4));
        })(),
        (function* () {
          for (let i = 3; i >= 0; i--) expect(yield* w.mm.cpuWrite(P + i, 90 + i)).toBe(0);
        })(),
      ],
      function* (w) {
        for (let i = 0; i < 4; i++) expect(yield* w.mm.cpuRead(P + i)).toBe(90 + i);
      },
      profile,
    );
  });

  test('eviction against CPU reads of the same pages: both end and the data is right', () => {
    race(
      function* (w) {
        yield* w.map(P, 4, RW, 10);
        expect(yield* w.dev.toDev(P, 4)).toBe(0);
      },
      (w) => [
        (function* () {
          yield* w.dev.release();
        })(),
        (function* () {
          for (let i = 0; i < 4; i++) expect(yield* w.mm.cpuRead(P + i)).toBe(10 + i);
        })(),
        (function* () {
          for (let i = 3; i >= 0; i--) expect(yield* w.mm.cpuRead(P + i)).toBe(10 + i);
        })(),
      ],
      nothing,
      profile,
    );
  });

  test('eviction and exit of the process at once', () => {
    race(
      function* (w) {
        yield* w.map(P, 4, RW, 10);
        expect(yield* w.dev.toDev(P, 4)).toBe(0);
        w.mm.mmgetNotZero();
      },
      (w) => [w.dev.release(), w.mm.exit()],
      nothing,
      profile,
    );
  });

  test('a 2 MiB folio: migration, CPU write, partial munmap and eviction all at once', () => {
    race(
      (w) => w.map(P, 512, THP, 1000),
      (w) => [
        (function* () {
          expect([0, -ENOENT, -EINVAL]).toContain(yield* w.driver(() => w.dev.toDev(P, 512)));
        })(),
        (function* () {
          expect(yield* w.mm.cpuWrite(P + 300, 7)).toBe(0);
        })(),
        (function* () {
          expect(yield* w.mm.munmap(P, 64)).toBe(0);
        })(),
        w.dev.release(),
      ],
      function* (w) {
        expect(yield* w.mm.cpuRead(P + 300)).toBe(7);
        expect(yield* w.mm.cpuRead(P + 64)).toBe(1064);
        expect(yield* w.mm.cpuRead(P + 511)).toBe(1511);
        expect(yield* w.mm.cpuRead(P)).toBe(-EFAULT);
      },
      profile,
    );
  });
});
