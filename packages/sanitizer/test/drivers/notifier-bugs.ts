import {
  mmuIntervalNotifierInsert,
  mmuIntervalNotifierRemove,
  MmuIntervalNotifier,
  mmuIntervalReadRetry,
  mmuIntervalSetSeq,
  type MmuNotifierRange,
  oomReap,
} from '@gpusvm/hmm';
import { Mutex, type Task } from '@gpusvm/kernel';
import { FIRST, type MmContext } from '../explore/mm-program.ts';
import type { MmBug } from './mm-bug.ts';

type Invalidate = (range: MmuNotifierRange) => Task<void>;

/** What a second subscription does in its callbacks beyond what it has to; replaced by a fault. */
const extra = new WeakMap<MmContext, Invalidate>();

function also(c: MmContext, invalidate: Invalidate): void {
  extra.set(c, invalidate);
}

/** Another user of the address space subscribes to the first page. */
function* subscribe(c: MmContext): Task<MmuIntervalNotifier> {
  const sub = new MmuIntervalNotifier();
  yield* mmuIntervalNotifierInsert(sub, c.mm, FIRST, 1, {
    *invalidate(_sub, range, curSeq) {
      mmuIntervalSetSeq(sub, curSeq);
      yield* extra.get(c)?.(range) ?? nothing();
      return true;
    },
  });
  return sub;
}

function* nothing(): Task<void> {}

/** The other user sees the first page go. */
function* unmapped(c: MmContext): Task<void> {
  yield* subscribe(c);
  yield* c.mm.munmap(FIRST, 1);
}

function* reaped(c: MmContext): Task<void> {
  yield* subscribe(c);
  yield* oomReap(c.mm);
}

/** What drivers get wrong about their subscription, their lookups and their locks. */
export const NOTIFIER_BUGS: readonly MmBug[] = [
  {
    what: 'a callback removes its own subscription',
    reports: ['S9'],
    says: 'mmu_interval_notifier_remove inside of a callback',
    throws: 'deadlock of 1 task',
    patch: (c) =>
      also(c, ({ event }) => (event === 'UNMAP' ? mmuIntervalNotifierRemove(c.dev.sub) : nothing())),
    trigger: unmapped,
  },
  {
    what: 'a callback inserts a subscription',
    reports: ['S9'],
    says: 'mmu_interval_notifier_insert, which may take the mmap lock, inside of a callback',
    patch: (c) =>
      also(c, function* () {
        extra.delete(c);
        yield* subscribe(c);
      }),
    trigger: unmapped,
  },
  {
    what: 'a callback takes the mmap lock',
    reports: ['S9'],
    says: 'rwsem mmap_lock is taken under invalidate_range_start',
    patch: (c) =>
      also(c, function* () {
        yield* c.mm.mmapLock.downRead();
        c.mm.mmapLock.upRead();
      }),
    *trigger(c) {
      yield* subscribe(c);
      yield* c.mm.madviseDontneed(FIRST, 1);
      // Somebody has the lock for writing when callbacks run.
      extra.delete(c);
      yield* c.mm.munmap(FIRST, 1);
    },
  },
  {
    what: 'a callback locks where it must not sleep, and finds the lock free',
    reports: ['S10'],
    says: 'takes mutex range_lock of other and does not only try: it must not sleep',
    patch: (c) => {
      const lock = new Mutex(c.machine, 'range_lock of other');
      also(c, function* () {
        yield* lock.lock();
        lock.unlock();
      });
    },
    trigger: reaped,
  },
  {
    what: 'a callback waits where it must not sleep',
    reports: ['S10'],
    says: 'slept although it must not',
    patch: (c) =>
      also(c, function* () {
        yield { kind: 'sleep', ns: 100 };
      }),
    trigger: reaped,
  },
  {
    what: 'a callback returns with a lock held',
    reports: ['LOCK'],
    says: 'the callback for UNMAP of pages 1024 to 1024 returned with mutex range_lock of other held',
    patch: (c) => {
      const lock = new Mutex(c.machine, 'range_lock of other');
      also(c, () => lock.lock());
    },
    trigger: unmapped,
  },
  {
    what: 'the locks of two devices are taken in both orders',
    reports: ['LOCK'],
    says: 'mutex vm.lock of gpu0 is taken under mutex vm.lock of gpu1',
    patch(c) {
      extra.set(c, nothing);
    },
    *trigger(c) {
      const locks = [0, 1].map((i) => new Mutex(c.machine, `vm.lock of gpu${i}`));
      yield* nest(locks);
      yield* nest(extra.has(c) ? locks.toReversed() : locks);
    },
  },
  {
    what: 'read_retry is asked before the lock, and no callback has run yet',
    reports: ['S6'],
    says: 'gpu maps page 1024 to page frame 1 although mutex user_lock of gpu was not held since',
    patch(c) {
      let stale = false;
      const { walk } = c.dev.ops;
      c.dev.ops.walk = function* (dev, range) {
        const err = yield* walk(dev, range);
        stale = mmuIntervalReadRetry(range.notifier, range.notifierSeq);
        return err;
      };
      c.dev.ops.isStale = () => stale;
    },
    *trigger(c) {
      yield* c.dev.access(FIRST, null);
      yield* c.mm.munmap(FIRST, 1);
    },
  },
  {
    what: 'results are taken from the wrong place of the array',
    reports: ['S6', 'S6'],
    says: 'gpu maps page 1024 to page frame 2 although its lookup gave page frame 1',
    patch(c) {
      const { walk } = c.dev.ops;
      c.dev.ops.walk = function* (dev, range) {
        const err = yield* walk(dev, range);
        range.pfns.pfn.reverse();
        return err;
      };
    },
    trigger: (c) => c.dev.fault(FIRST, FIRST + 2, false),
  },
  {
    what: 'a page is mapped that the lookup did not find',
    reports: ['S6'],
    says: 'although its lookup did not find the page',
    patch(c) {
      const { walk } = c.dev.ops;
      c.dev.ops.walk = function* (dev, range) {
        const err = yield* walk(dev, { ...range, defaultFlags: 0 });
        range.pfns.flags.fill(1);
        return err;
      };
    },
    *trigger(c) {
      yield* c.mm.madviseDontneed(FIRST, 1);
      yield* c.dev.fault(FIRST, FIRST + 1, false);
    },
  },
  {
    what: 'a driver takes the answer for writable whatever the lookup said',
    reports: ['S22'],
    says: "gpu maps page 1024, page frame 1, writable; the CPU's entry is not",
    patch(c) {
      c.dev.ops.mayWrite = () => true;
      c.dev.isWritable = () => true;
    },
    *trigger(c) {
      const child = yield* c.mm.fork('child');
      yield* c.dev.fault(FIRST, FIRST + 1, false);
      if (typeof child !== 'number') yield* child.exit();
    },
  },
  {
    what: 'the device keeps what a callback should have taken, and the page is freed',
    reports: ['S7'],
    says: 'gpu maps page 1025 to page frame 2 after its callback for UNMAP of pages 1024 to 1025 returned',
    patch(c) {
      const { zap } = c.dev.ops;
      c.dev.ops.zap = (dev, startPage, endPage) => zap(dev, startPage, endPage - 1);
    },
    *trigger(c) {
      yield* c.dev.fault(FIRST, FIRST + 2, true);
      yield* c.mm.munmap(FIRST, 2);
    },
  },
];

function* nest([outer, inner]: Mutex[]): Task<void> {
  yield* outer!.lock();
  yield* inner!.lock();
  inner!.unlock();
  outer!.unlock();
}
