import { DEVICE_MAP_TRACE, MIGRATE_PFN_COMPOUND, MIGRATE_PFN_MIGRATE, migrateVmaPages } from '@gpusvm/hmm';
import type { Task } from '@gpusvm/kernel';
import { migrateToDevice } from '@gpusvm/sanitizer';
import { FIRST, type MmContext } from '../explore/mm-program.ts';
import type { MmBug } from './mm-bug.ts';

/** Both pages go to the device, and the CPU fetches one back. */
function* thereAndBack(c: MmContext): Task<void> {
  yield* migrateToDevice(c.dev, FIRST, FIRST + 2);
  yield* c.mm.cpuWrite(FIRST, 9);
}

function there(c: MmContext): Task<unknown> {
  return migrateToDevice(c.dev, FIRST, FIRST + 2);
}

/** Somebody looks at the first page in passing, so that it does not migrate. */
function* refused(c: MmContext): Task<unknown> {
  const { commit } = c.dev.ops;
  c.dev.ops.commit = function* (args) {
    c.folios.get(args.src.pfn[0]!);
    yield* commit(args);
    c.folios.put(args.src.pfn[0]!);
  };
  return yield* migrateToDevice(c.dev, FIRST, FIRST + 1);
}

/** What drivers get wrong between migrate_vma_setup and migrate_vma_finalize. */
export const MIGRATE_BUGS: readonly MmBug[] = [
  {
    what: 'nothing is ever copied',
    reports: ['S13', 'S13'],
    says: 'page frame 512 of slot 0 becomes visible and was never written',
    patch(c) {
      c.dev.ops.copy = function* () {};
    },
    trigger: there,
  },
  {
    what: 'two destinations change places after the copy',
    reports: ['S13', 'S13'],
    says: 'page frame 513 of slot 0 becomes visible and was copied from page frame 2, not from its source 1',
    patch(c) {
      const { commit } = c.dev.ops;
      c.dev.ops.commit = function* (args) {
        args.dst.pfn.reverse();
        yield* commit(args);
      };
    },
    trigger: there,
  },
  {
    what: 'every copy begins at the first source',
    reports: ['S13'],
    says: 'page frame 513 of slot 1 becomes visible and was copied from page frame 1, not from its source 2',
    patch(c) {
      const { copy } = c.dev.ops;
      let first = -1;
      c.dev.ops.copy = function* (dev, from, to) {
        if (first < 0) first = from;
        yield* copy(dev, first, to);
      };
    },
    trigger: there,
  },
  {
    what: 'a page of somebody is copied into a destination that has no source',
    reports: ['S13'],
    says: 'was copied from page frame 2, although it has no source',
    patch(c) {
      const { copy } = c.dev.ops;
      c.dev.ops.copy = (dev, from, to) => copy(dev, from < 0 ? c.mm.pfnAt(FIRST + 1) : from, to);
    },
    *trigger(c) {
      yield* c.mm.madviseDontneed(FIRST, 1);
      yield* migrateToDevice(c.dev, FIRST, FIRST + 1);
    },
  },
  {
    what: 'an error path returns without migrate_vma_finalize',
    reports: ['S17', 'S4', 'S4'],
    says: 'a migration of 2 pages by main was never finalized',
    patch(c) {
      c.dev.ops.commit = function* () {};
      c.dev.ops.finalize = function* () {};
    },
    trigger: there,
  },
  {
    what: 'migrate_vma_pages is left out',
    reports: ['S17', 'S4', 'S4'],
    says: 'slot 0 has a destination and is finalized without migrate_vma_pages',
    patch(c) {
      c.dev.ops.commit = function* () {};
    },
    trigger: there,
  },
  {
    what: 'a driver gives back the destination of a slot that was refused',
    reports: ['S12', 'S17'],
    says: 'destination 0, page frame 512, is free at finalize',
    throws: 'folio 512 unlocked but not locked',
    patch(c) {
      c.dev.ops.commit = function* (args) {
        yield* migrateVmaPages(args);
        if ((args.src.flags[0]! & MIGRATE_PFN_MIGRATE) !== 0) return;
        c.folios.unlock(args.dst.pfn[0]!);
        c.folios.put(args.dst.pfn[0]!);
      };
    },
    trigger: refused,
  },
  {
    what: 'a small destination is said to be compound',
    reports: ['S12'],
    says: 'is of order 0, which its slot does not say',
    patch(c) {
      const { commit } = c.dev.ops;
      c.dev.ops.commit = function* (args) {
        args.dst.flags[0]! |= MIGRATE_PFN_COMPOUND;
        yield* commit(args);
      };
    },
    *trigger(c) {
      yield* migrateToDevice(c.dev, FIRST, FIRST + 1);
    },
  },
  {
    what: 'destinations are not locked',
    reports: ['S12', 'S12'],
    says: 'destination 0, page frame 512, is not locked',
    patch(c) {
      // oxlint-disable-next-line require-yield
      c.dev.ops.reserve = function* (dev) {
        const pfn = dev.allocPage();
        c.folios.unlock(pfn);
        return pfn;
      };
    },
    trigger: there,
  },
  {
    what: 'a device maps a destination that was refused',
    reports: ['S14'],
    says: 'gpu maps page 1024 to page frame 512, which does not migrate after all',
    patch(c) {
      const { moved } = c.dev.ops;
      c.dev.ops.moved = (args) => {
        mapBlindly(c, args.dst.pfn[0]!);
        return moved(args);
      };
    },
    trigger: refused,
  },
  {
    what: 'a driver skips the notifications of every migration, not of its own alone',
    reports: ['S8', 'S15'],
    says: 'passed over its own migration, and no lock keeps the faults of the driver out',
    patch(c) {
      c.dev.ops.isOwn = (_dev, { event }) => event === 'MIGRATE';
    },
    *trigger(c) {
      yield* migrateToDevice(c.dev, FIRST, FIRST + 1);
      yield* c.dev.access(FIRST, null);
      yield* c.mm.cpuWrite(FIRST, 9);
    },
  },
  {
    what: 'a page is written while it migrates',
    reports: ['S16', 'S16'],
    says: 'page frame 1 was written after it had been copied',
    patch(c) {
      const { commit } = c.dev.ops;
      c.dev.ops.commit = function* (args) {
        for (const pfn of args.src.pfn) if (pfn < 64) c.folios.memory.writeTag(pfn, 77);
        yield* commit(args);
      };
    },
    trigger: thereAndBack,
  },
];

/** The check of the result is missing: under the lock, but whatever became of the slot. */
function mapBlindly({ machine, dev }: MmContext, pfn: number): void {
  const { sub, name: device } = dev;
  const seq = sub.invalidateSeq;
  if (!dev.userLock.tryLock()) return;
  const about = { device, sub, seq, page: FIRST, pfn, write: false, cpuWrite: false };
  machine.trace.point(DEVICE_MAP_TRACE).emit({ ...about, check: 'pages-valid' });
  dev.zapEntries(FIRST, FIRST + 1);
  dev.userLock.unlock();
}
