import {
  EAGAIN,
  EBUSY,
  EFAULT,
  EINVAL,
  ENOENT,
  type KernelProfileName,
  Mutex,
  random,
  type Task,
} from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import { khugepaged, pinUserPages, shrinkAnon, unpinUserPages } from '../src/index.ts';
import { audit } from './support/audit.ts';
import { Dmirror } from './support/dmirror.ts';
import { block, exitAll, forked, MEASURED, RW, THP, World } from './support/world.ts';

const P = block(8);
const SEEDS = 40;

class Race extends World {
  readonly dev: Dmirror;
  readonly lock: Mutex;

  constructor(profile: KernelProfileName, seed: number) {
    super({ profile, seed, strategy: random(), pages: 4096 });
    this.folios.swap.on(1024);
    this.dev = new Dmirror(this.mm, 1024);
    this.lock = new Mutex(this.machine, 'driver');
  }

  /** The lock that keeps a driver's faults and its migrations apart (see B2). */
  *driver<T>(body: () => Task<T>): Task<T> {
    yield* this.lock.lock();
    try {
      return yield* body();
    } finally {
      this.lock.unlock();
    }
  }
}

/** All tasks against each other, for many seeds; afterwards the counts add up and nothing is left. */
function race(
  profile: KernelProfileName,
  setUp: (w: Race) => Task<void>,
  tasks: (w: Race) => readonly Task<unknown>[],
  after: (w: Race) => Task<void>,
): void {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const w = new Race(profile, seed);
    w.run(
      (function* () {
        yield* w.dev.open();
        yield* setUp(w);
      })(),
    );
    tasks(w).forEach((task, i) => w.machine.spawn(task, `task ${i}`));
    w.machine.drain();
    expect(w.dev.stale(), `seed ${seed}`).toEqual([]);
    expect(audit(w.folios), `seed ${seed}`).toEqual([]);
    w.run(
      (function* () {
        yield* after(w);
        yield* w.dev.close();
        yield* exitAll(w.folios);
      })(),
    );
    expect(w.machine.ledger.live(), `seed ${seed}`).toEqual([]);
    expect(w.machine.warnings, `seed ${seed}`).toBe(0);
  }
}

function* holds(w: Race, pages: readonly number[], first: number): Task<void> {
  for (const i of pages) expect(yield* w.mm.cpuRead(P + i)).toBe(first + i);
}

const SOME = [0, 1, 7, 200, 511];

describe.each(MEASURED)('the process side against devices on %s', (profile) => {
  test('collapse against a device read, a migration and reclaim', () => {
    race(
      profile,
      (w) => w.map(P, 512, RW, 100),
      (w) => [
        (function* () {
          expect([0, -EAGAIN, -EINVAL]).toContain(yield* w.mm.madviseCollapse(P, 512));
        })(),
        (function* () {
          expect(yield* w.driver(() => w.dev.read(P + 7, 1))).toEqual([107]);
        })(),
        w.driver(() => w.dev.toDev(P + 200, 8)),
        shrinkAnon(w.folios, 4),
      ],
      (w) => holds(w, SOME, 100),
    );
  });

  test('khugepaged against fork and writes of both processes', () => {
    race(
      profile,
      function* (w) {
        yield* w.map(P, 512, RW, 100);
        yield* w.mm.madviseHugepage(P, 512, true);
      },
      (w) => [
        khugepaged(w.mm),
        (function* () {
          const child = yield* forked(w.mm);
          yield* child.cpuWrite(P + 1, 5);
          expect(yield* child.cpuRead(P + 7)).toBe(107);
          yield* child.exit();
        })(),
        (function* () {
          expect(yield* w.mm.cpuWrite(P + 200, 300)).toBe(0);
        })(),
      ],
      (w) => holds(w, SOME, 100),
    );
  });

  test('a pin against migration: one of them gets the page, the pinner sees what the process has', () => {
    race(
      profile,
      (w) => w.map(P, 2, RW, 10),
      (w) => [
        (function* () {
          const pfns = new Float64Array(2);
          expect(yield* pinUserPages(w.mm, P, pfns, { write: true })).toBe(2);
          expect([...pfns]).toEqual([w.mm.pfnAt(P), w.mm.pfnAt(P + 1)]);
          w.folios.writeTag(pfns[0]!, 50);
          unpinUserPages(w.folios, pfns, 2, { dirty: true });
        })(),
        (function* () {
          expect([0, -ENOENT]).toContain(yield* w.driver(() => w.dev.toDev(P, 2)));
        })(),
        (function* () {
          yield* w.driver(() => w.dev.read(P, 2));
        })(),
      ],
      function* (w) {
        expect(yield* w.mm.cpuRead(P)).toBe(50);
        expect(yield* w.mm.cpuRead(P + 1)).toBe(11);
      },
    );
  });

  test('mremap against a device read and reclaim: the data is at the new place', () => {
    const Q = block(20);
    race(
      profile,
      (w) => w.map(P, 4, RW, 10),
      (w) => [
        w.mm.mremap(P, 4, 4, { newPage: Q + 3 }),
        (function* () {
          const got = yield* w.dev.read(P, 4);
          if (typeof got === 'number') expect(got).toBe(-EFAULT);
          else expect(got).toEqual([10, 11, 12, 13]);
        })(),
        shrinkAnon(w.folios, 2),
      ],
      function* (w) {
        for (let i = 0; i < 4; i++) expect(yield* w.mm.cpuRead(Q + 3 + i)).toBe(10 + i);
      },
    );
  });

  test('a THP: exclusive access, eviction, fork and MADV_PAGEOUT at once', () => {
    race(
      profile,
      function* (w) {
        yield* w.map(P, 512, THP, 100);
        expect(yield* w.dev.toDev(P, 512)).toBe(0);
      },
      (w) => [
        (function* () {
          const err = yield* w.driver(() => w.dev.file.exclusive(P + 7, 1));
          expect([0, -EBUSY, -ENOENT]).toContain(err);
        })(),
        w.driver(() => w.dev.release()),
        (function* () {
          const child = yield* w.mm.fork('child');
          if (typeof child === 'number') {
            expect(child).toBe(-EBUSY);
          } else {
            expect(yield* child.cpuRead(P + 200)).toBe(300);
            yield* child.exit();
          }
        })(),
        w.mm.madvisePageout(P, 16),
      ],
      (w) => holds(w, SOME, 100),
    );
  });
});
