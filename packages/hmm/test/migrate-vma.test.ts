import { done, EINVAL, type Errno, type Pfn, type Task } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import {
  DevPagemap,
  MIGRATE_PFN_COMPOUND,
  MIGRATE_PFN_MIGRATE,
  MIGRATE_PFN_VALID,
  MIGRATE_PFN_WRITE,
  MIGRATE_VMA_SELECT_COMPOUND,
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_SYSTEM,
  MigratePfns,
  MigrateVma,
  MmuIntervalNotifier,
  migrateDeviceFinalize,
  migrateDevicePages,
  migrateDevicePfns,
  migrateVmaFinalize,
  migrateVmaPages,
  migrateVmaSetup,
  mmuIntervalNotifierInsert,
  mmuIntervalNotifierRemove,
  mmuIntervalSetSeq,
  splitFolio,
  zoneDevicePageInit,
} from '../src/index.ts';
import { block, eventName, RW, THP, withMmapRead, World } from './support/world.ts';

const P = block(8);
const SYSTEM = MIGRATE_VMA_SELECT_SYSTEM;
const PAGE = MIGRATE_PFN_VALID | MIGRATE_PFN_MIGRATE;

/** A device with pages and nothing else; contents do not matter here. */
class Raw extends World {
  readonly owner = {};
  readonly freed: Pfn[] = [];
  readonly splits: [Pfn, Pfn | null][] = [];
  readonly device: DevPagemap;
  readonly sub = new MmuIntervalNotifier();
  readonly events: string[] = [];

  constructor(profile: 'linux-6.12' | 'linux-7.3' = 'linux-7.3') {
    super({ profile });
    this.device = new DevPagemap(this.folios, {
      type: 'private',
      owner: this.owner,
      pages: 2048,
      ops: {
        // biome-ignore lint: nothing to wait for
        *migrateToRam() {
          return 2;
        },
        folioFree: (head) => this.freed.push(head),
        folioSplit: (head, tail) => this.splits.push([head, tail]),
      },
    });
  }

  *open(): Task<void> {
    const { events } = this;
    yield* mmuIntervalNotifierInsert(this.sub, this.mm, 0, 2 ** 44, {
      // biome-ignore lint: nothing to wait for
      *invalidate(sub, range, seq) {
        events.push(eventName(range));
        mmuIntervalSetSeq(sub, seq);
        return true;
      },
    });
  }

  args(page: number, pages: number, flags = SYSTEM, faultFolio = -1): MigrateVma {
    return new MigrateVma({
      mm: this.mm,
      vma: this.mm.vmaLookup(page),
      startPage: page,
      endPage: page + pages,
      src: new MigratePfns(pages),
      dst: new MigratePfns(pages),
      pgmapOwner: this.owner,
      flags,
      faultFolio,
    });
  }

  /** A device page for every slot that wants one. */
  fill(args: MigrateVma, from = 0): void {
    for (let i = 0; i < args.npages; i++) {
      const flags = args.src.flags[i]!;
      if ((flags & MIGRATE_PFN_MIGRATE) === 0) continue;
      const compound = (flags & MIGRATE_PFN_COMPOUND) !== 0;
      const pfn = this.device.basePfn + from + i;
      zoneDevicePageInit(this.folios, pfn, this.device, compound ? 9 : 0, {});
      args.dst.set(i, pfn, compound ? MIGRATE_PFN_COMPOUND : 0);
      if (compound) i += 511;
    }
  }

  *finish(args: MigrateVma): Task<void> {
    yield* migrateVmaPages(args);
    yield* migrateVmaFinalize(args);
  }
}

/** Runs with the mmap lock held, then takes everything down and asserts that nothing is left. */
function check(
  setUp: (w: Raw) => Task<void>,
  body: (w: Raw) => Task<void>,
  profile: 'linux-6.12' | 'linux-7.3' = 'linux-7.3',
): void {
  const w = new Raw(profile);
  w.run(
    (function* () {
      yield* setUp(w);
      yield* w.open();
      yield* withMmapRead(w.mm, () => body(w));
      yield* mmuIntervalNotifierRemove(w.sub);
      yield* w.mm.exit();
    })(),
  );
  expect(w.machine.ledger.live()).toEqual([]);
  expect(w.device.liveReferences).toBe(0);
  w.device.remove();
}

const pages = (n: number) => (w: Raw) => w.map(P, n, RW, 1);

describe('setup', () => {
  test('refuses what cannot migrate by virtual address with -EINVAL and touches nothing', () => {
    check(pages(4), function* (w) {
      const bad = function* (args: MigrateVma): Task<Errno> {
        return yield* migrateVmaSetup(args);
      };
      expect(yield* bad(w.args(P + 2, 4))).toBe(-EINVAL);
      expect(yield* bad(w.args(P, 0))).toBe(-EINVAL);
      expect(yield* bad(w.args(block(50), 1))).toBe(-EINVAL);
      expect(yield* bad(w.args(P, 4, SYSTEM, w.mm.pfnAt(P)))).toBe(-EINVAL);
      expect(w.events).toEqual([]);
      expect(w.mm.entryCounts()).toMatchObject({ present: 4, zero: 0, device: 0, migration: 0 });
    });
  });

  test('locks, unmaps and lists present pages, with one MIGRATE notification', () => {
    check(pages(3), function* (w) {
      const args = w.args(P, 3);
      const pfn = w.mm.pfnAt(P);
      expect(yield* migrateVmaSetup(args)).toBe(0);
      expect([args.cpages, args.npages]).toEqual([3, 3]);
      expect(Array.from(args.src.flags)).toEqual([PAGE | MIGRATE_PFN_WRITE, PAGE | 8, PAGE | 8]);
      expect(w.mm.entryCounts().migration).toBe(3);
      expect([w.folios.isLocked(pfn), w.folios.refcount(pfn), w.folios.mapcount(pfn)]).toEqual([true, 1, 0]);
      expect(w.machine.ledger.live().map((i) => i.kind)).toContain('migration entry');
      expect(w.events).toEqual([`MIGRATE ${P}..${P + 3}`]);
      yield* migrateVmaFinalize(args);
      expect([w.folios.isLocked(pfn), w.folios.refcount(pfn), w.folios.mapcount(pfn)]).toEqual([false, 1, 1]);
      expect(w.mm.pfnAt(P)).toBe(pfn);
      expect(w.mm.isWritable(P)).toBe(true);
    });
  });

  test('a CPU access to a migrating page waits for finalize', () => {
    const w = new Raw();
    const order: string[] = [];
    w.run(
      (function* () {
        yield* w.map(P, 1, RW, 7);
        yield* withMmapRead(w.mm, function* () {
          const args = w.args(P, 1);
          yield* migrateVmaSetup(args);
          w.machine.spawn(
            (function* () {
              order.push(`read ${yield* w.mm.cpuRead(P)}`);
            })(),
            'cpu',
          );
          yield { kind: 'point', name: 'let the CPU fault' };
          order.push('finalize');
          yield* migrateVmaFinalize(args);
        });
      })(),
    );
    expect(order).toEqual(['finalize', 'read 7']);
  });
});

describe('slots that come back empty', () => {
  const collectOf = (
    setUp: (w: Raw) => Task<void>,
    prepare: (w: Raw) => void,
    undo: (w: Raw) => void,
    flags = SYSTEM,
  ) => {
    let seen: number[] = [];
    check(setUp, function* (w) {
      prepare(w);
      const args = w.args(P, 2, flags);
      expect(yield* migrateVmaSetup(args)).toBe(0);
      seen = Array.from(args.src.flags);
      yield* migrateVmaFinalize(args);
      undo(w);
      expect(w.mm.entryCounts().migration).toBe(0);
    });
    return seen;
  };
  const W = PAGE | MIGRATE_PFN_WRITE;
  const none = () => {};

  test('a busy folio lock', () => {
    expect(
      collectOf(
        pages(2),
        (w) => w.folios.trylock(w.mm.pfnAt(P)),
        (w) => w.folios.unlock(w.mm.pfnAt(P)),
      ),
    ).toEqual([0, W]);
  });

  test('a GUP pin and any other extra reference', () => {
    expect(
      collectOf(
        pages(2),
        (w) => w.folios.pin(w.mm.pfnAt(P)),
        (w) => w.folios.unpin(w.mm.pfnAt(P)),
      ),
    ).toEqual([0, W]);
    expect(
      collectOf(
        pages(2),
        (w) => w.folios.get(w.mm.pfnAt(P)),
        (w) => w.folios.put(w.mm.pfnAt(P)),
      ),
    ).toEqual([0, W]);
  });

  test('a kind that is not selected: RAM, zero page, device page', () => {
    expect(collectOf(pages(2), none, none, MIGRATE_VMA_SELECT_DEVICE_PRIVATE)).toEqual([0, 0]);
    const zero = function* (w: Raw): Task<void> {
      yield* w.map(P, 2, RW);
      yield* w.mm.cpuRead(P);
    };
    expect(collectOf(zero, none, none, MIGRATE_VMA_SELECT_DEVICE_PRIVATE)).toEqual([0, MIGRATE_PFN_MIGRATE]);
    expect(collectOf(zero, none, none)).toEqual([MIGRATE_PFN_MIGRATE, MIGRATE_PFN_MIGRATE]);
  });

  test('holes of file and shared memory; their pages are collected but refused in the pages phase', () => {
    const shared = function* (w: Raw): Task<void> {
      yield* w.map(P, 2, { ...RW, shared: true });
      yield* w.mm.cpuWrite(P, 3);
    };
    expect(collectOf(shared, none, none)).toEqual([W, 0]);
    check(shared, function* (w) {
      const args = w.args(P, 2);
      yield* migrateVmaSetup(args);
      w.fill(args);
      yield* w.finish(args);
      expect(args.src.flags[0]! & MIGRATE_PFN_MIGRATE).toBe(0);
      expect(w.mm.entryKind(P)).toBe('present');
      expect(w.freed).toEqual([w.device.basePfn]);
    });
  });

  test('a private file page that was copied migrates, an untouched one does not', () => {
    const file = function* (w: Raw): Task<void> {
      yield* w.map(P, 2, { ...RW, file: true });
      yield* w.mm.cpuWrite(P, 3);
    };
    expect(collectOf(file, none, none)).toEqual([W, 0]);
  });

  test('a page that cannot be isolated from the LRU', () => {
    expect(collectOf(pages(2), (w) => w.machine.faultInjection.failNth('hmm.isolate_lru', 2), none)).toEqual([
      W,
      0,
    ]);
  });

  test('a page in the LRU batch of a CPU, unless the one drain of the migration brings it out', () => {
    for (const drainHelps of [true, false]) {
      let drains = 0;
      const off: Pfn[] = [];
      const batch = (w: Raw): void => {
        off.push(w.mm.pfnAt(P), w.mm.pfnAt(P + 1));
        for (const pfn of off) w.folios.isolateLru(pfn);
        w.folios.lruAddDrainAll = () => {
          drains++;
          if (drainHelps) w.folios.putbackLru(off.shift()!);
          return done(undefined);
        };
      };
      const unbatch = (w: Raw): void => off.forEach((pfn) => w.folios.putbackLru(pfn));
      expect(collectOf(pages(2), batch, unbatch)).toEqual([drainHelps ? W : 0, 0]);
      expect(drains).toBe(1);
    }
  });

  test('the lock of a PMD is balanced, and says so when it is not', () => {
    check(
      (w) => w.map(P, 512, THP, 1),
      function* (w) {
        const args = w.args(P, 512, SYSTEM | MIGRATE_VMA_SELECT_COMPOUND);
        yield* migrateVmaSetup(args);
        yield* migrateVmaFinalize(args);
        expect(() => w.mm.pmdLock.unlock()).toThrow('released but not held');
        w.mm.pmdLock.lock();
        expect(() => w.mm.pmdLock.lock()).toThrow('taken twice');
        w.mm.pmdLock.unlock();
      },
    );
  });

  test('a THP whose split fails costs the rest of its 2 MiB', () => {
    check(
      (w) => w.map(P, 512, THP, 1),
      function* (w) {
        w.machine.faultInjection.failNth('hmm.split_folio', 1);
        const args = w.args(P + 10, 20);
        expect(yield* migrateVmaSetup(args)).toBe(0);
        expect(args.cpages).toBe(0);
        expect(Array.from(args.src.flags).every((f) => f === 0)).toBe(true);
        yield* migrateVmaFinalize(args);
        expect(w.mm.isPmdMapped(P)).toBe(true);
      },
    );
  });
});

describe('pages and finalize', () => {
  test('a slot without destination stays, a committed one becomes a device page, references balance', () => {
    check(pages(2), function* (w) {
      const args = w.args(P, 2);
      const [a, b] = [w.mm.pfnAt(P), w.mm.pfnAt(P + 1)];
      yield* migrateVmaSetup(args);
      w.fill(args);
      w.folios.unlock(args.dst.pfn[0]!);
      w.folios.put(args.dst.pfn[0]!);
      args.dst.clear(0, 1);
      yield* w.finish(args);
      expect(Array.from(args.src.flags, (f) => f & MIGRATE_PFN_MIGRATE)).toEqual([0, MIGRATE_PFN_MIGRATE]);
      expect([w.mm.entryKind(P), w.mm.entryKind(P + 1)]).toEqual(['present', 'device-private']);
      expect(w.mm.pfnAt(P)).toBe(a);
      expect(w.folios.refcount(b)).toBe(0);
      const dev = w.mm.pfnAt(P + 1);
      expect([w.folios.refcount(dev), w.folios.mapcount(dev), w.folios.isLocked(dev)]).toEqual([1, 1, false]);
      expect([w.folios.isAnon(dev), w.folios.isDevicePrivate(dev)]).toEqual([true, true]);
    });
  });

  test('holes get their page under a second MIGRATE notification from the first hole to the end', () => {
    const setUp = function* (w: Raw): Task<void> {
      yield* w.map(P, 6, RW);
      yield* w.mm.cpuWrite(P, 1);
    };
    check(setUp, function* (w) {
      const args = w.args(P, 4);
      yield* migrateVmaSetup(args);
      w.fill(args);
      yield* w.finish(args);
      expect(w.events).toEqual([`MIGRATE ${P}..${P + 4}`, `MIGRATE ${P + 1}..${P + 4}`]);
      expect(Array.from(args.src.flags)).toEqual([PAGE | 8, 2, 2, 2]);
      expect(w.mm.devicePages).toBe(4);
      expect(w.mm.isWritable(P + 2)).toBe(true);
    });
  });

  test('a hole that somebody filled meanwhile loses MIGRATE and its page is freed', () => {
    check(
      (w) => w.map(P, 2, RW),
      function* (w) {
        const args = w.args(P, 2);
        yield* migrateVmaSetup(args);
        w.fill(args);
        expect(w.mm.tryWriteTag(P, 5)).toBe(false);
        yield* w.mm.cpuWrite(P, 5);
        yield* w.finish(args);
        expect(Array.from(args.src.flags)).toEqual([0, 2]);
        expect([w.mm.entryKind(P), w.mm.entryKind(P + 1)]).toEqual(['present', 'device-private']);
        expect(w.freed).toEqual([w.device.basePfn]);
      },
    );
  });

  test('a page-table allocation that fails costs the hole', () => {
    check(
      (w) => w.map(P, 2, RW),
      function* (w) {
        const args = w.args(P, 2);
        yield* migrateVmaSetup(args);
        w.fill(args);
        w.machine.faultInjection.failNth('hmm.migrate_pte_alloc', 1);
        yield* w.finish(args);
        expect(Array.from(args.src.flags)).toEqual([0, 2]);
        expect(w.mm.devicePages).toBe(1);
      },
    );
  });

  test('a stray reference on a device page passes setup and fails the exact count in pages', () => {
    check(pages(1), function* (w) {
      const there = w.args(P, 1);
      yield* migrateVmaSetup(there);
      w.fill(there);
      yield* w.finish(there);
      const dev = w.mm.pfnAt(P);
      w.folios.get(dev);
      const back = w.args(P, 1, MIGRATE_VMA_SELECT_DEVICE_PRIVATE);
      yield* migrateVmaSetup(back);
      expect(back.cpages).toBe(1);
      const ram = w.folios.allocFolio(0);
      w.folios.trylock(ram);
      back.dst.set(0, ram);
      yield* w.finish(back);
      expect(w.mm.pfnAt(P)).toBe(dev);
      expect(w.folios.refcount(ram)).toBe(0);
      w.folios.put(dev);
    });
  });

  test('device to device: the same memory owner moves its own pages', () => {
    check(pages(2), function* (w) {
      const there = w.args(P, 2);
      yield* migrateVmaSetup(there);
      w.fill(there);
      yield* w.finish(there);
      const again = w.args(P, 2, MIGRATE_VMA_SELECT_DEVICE_PRIVATE);
      yield* migrateVmaSetup(again);
      expect(again.cpages).toBe(2);
      w.fill(again, 600);
      yield* w.finish(again);
      expect(w.mm.pfnAt(P)).toBe(w.device.basePfn + 600);
      expect(w.freed).toEqual([w.device.basePfn, w.device.basePfn + 1]);
    });
  });
});

describe('folios of 2 MiB', () => {
  const thp = (w: Raw) => w.map(P, 512, THP, 1);
  const COMPOUND = SYSTEM | MIGRATE_VMA_SELECT_COMPOUND;

  test('move whole with SELECT_COMPOUND: one slot, one PMD entry, 512 pagemap references', () => {
    check(thp, function* (w) {
      const args = w.args(P, 512, COMPOUND);
      yield* migrateVmaSetup(args);
      expect(args.cpages).toBe(1);
      expect(args.src.flags[0]).toBe(PAGE | MIGRATE_PFN_WRITE | MIGRATE_PFN_COMPOUND);
      expect(args.src.flags.subarray(1).every((f) => f === 0)).toBe(true);
      w.fill(args);
      yield* w.finish(args);
      expect(w.mm.isPmdMapped(P)).toBe(true);
      expect(w.mm.devicePages).toBe(512);
      expect(w.device.liveReferences).toBe(512);
      expect(w.folios.refcount(w.mm.pfnAt(P))).toBe(1);
      expect(w.events).toEqual([`MIGRATE ${P}..${P + 512}`]);
    });
  });

  test('are split without it, with CLEAR of the 2 MiB', () => {
    check(thp, function* (w) {
      const args = w.args(P, 512);
      yield* migrateVmaSetup(args);
      expect(args.cpages).toBe(512);
      expect(w.events).toEqual([`MIGRATE ${P}..${P + 512}`, `CLEAR ${P}..${P + 512}`]);
      yield* migrateVmaFinalize(args);
      expect(w.mm.residentPages).toBe(512);
      expect(w.folios.order(w.mm.pfnAt(P + 3))).toBe(0);
    });
  });

  test('a split replaces pages of zeros by the zero page, so those slots have no page', () => {
    const sparse = function* (w: Raw): Task<void> {
      yield* w.map(P, 512, THP);
      yield* w.mm.cpuWrite(P + 5, 9);
    };
    check(sparse, function* (w) {
      const args = w.args(P, 512);
      yield* migrateVmaSetup(args);
      expect(args.src.flags[5]).toBe(PAGE | MIGRATE_PFN_WRITE);
      expect(args.src.flags[6]).toBe(MIGRATE_PFN_MIGRATE);
      yield* migrateVmaFinalize(args);
      expect(w.mm.entryCounts()).toMatchObject({ present: 1, zero: 511, device: 0, migration: 0 });
    });
  });

  test('a compound source with single destinations is split in place', () => {
    check(thp, function* (w) {
      const args = w.args(P, 512, COMPOUND);
      yield* migrateVmaSetup(args);
      for (let i = 0; i < 512; i++) {
        const pfn = w.device.basePfn + i;
        zoneDevicePageInit(w.folios, pfn, w.device, 0, {});
        args.dst.set(i, pfn);
      }
      yield* w.finish(args);
      expect(w.mm.devicePages).toBe(512);
      expect(w.mm.isPmdMapped(P)).toBe(false);
    });
  });

  test('if that split fails the folio stays and every destination is freed', () => {
    check(thp, function* (w) {
      const args = w.args(P, 512, COMPOUND);
      yield* migrateVmaSetup(args);
      for (let i = 0; i < 512; i++) {
        const pfn = w.device.basePfn + i;
        zoneDevicePageInit(w.folios, pfn, w.device, 0, {});
        args.dst.set(i, pfn);
      }
      w.machine.faultInjection.failNth('hmm.split_folio', 1);
      yield* w.finish(args);
      expect(w.freed.length).toBe(512);
      expect(w.mm.residentPages).toBe(512);
      expect(w.folios.order(w.mm.pfnAt(P))).toBe(9);
      expect(w.mm.isPmdMapped(P)).toBe(false);
    });
  });

  test('a 2 MiB hole takes a folio, 512 pages, or nothing', () => {
    for (const kind of ['folio', 'pages', 'nothing'] as const) {
      check(
        (w) => w.map(P, 512, THP),
        function* (w) {
          const args = w.args(P, 512, COMPOUND);
          yield* migrateVmaSetup(args);
          expect([args.cpages, args.src.flags[0]]).toEqual([1, MIGRATE_PFN_MIGRATE | MIGRATE_PFN_COMPOUND]);
          if (kind === 'folio') w.fill(args);
          if (kind === 'pages') {
            for (let i = 0; i < 512; i++) {
              zoneDevicePageInit(w.folios, w.device.basePfn + i, w.device, 0, {});
              args.dst.set(i, w.device.basePfn + i);
            }
          }
          yield* w.finish(args);
          expect(w.mm.devicePages).toBe(kind === 'nothing' ? 0 : 512);
          expect(w.mm.isPmdMapped(P)).toBe(kind === 'folio');
          expect(args.src.flags[1]).toBe(kind === 'pages' ? MIGRATE_PFN_MIGRATE : 0);
        },
      );
    }
  });

  test('splitting a device folio calls folioSplit for each tail and once with null', () => {
    check(thp, function* (w) {
      const args = w.args(P, 512, COMPOUND);
      yield* migrateVmaSetup(args);
      w.fill(args);
      yield* w.finish(args);
      const head = w.mm.pfnAt(P);
      const part = w.args(P + 3, 1, MIGRATE_VMA_SELECT_DEVICE_PRIVATE | MIGRATE_VMA_SELECT_COMPOUND);
      yield* migrateVmaSetup(part);
      expect(w.splits.length).toBe(512);
      expect(w.splits[0]).toEqual([head, head + 1]);
      expect(w.splits[511]).toEqual([head, null]);
      expect(part.src.pfn[0]).toBe(head + 3);
      yield* migrateVmaFinalize(part);
      expect(w.mm.devicePages).toBe(512);
    });
  });

  test('splitFolio refuses a folio with a foreign reference and leaves it mapped', () => {
    check(thp, function* (w) {
      const head = w.mm.pfnAt(P);
      w.folios.get(head);
      w.folios.get(head);
      w.folios.trylock(head);
      expect(yield* splitFolio(w.folios, head)).toBeLessThan(0);
      w.folios.unlock(head);
      w.folios.put(head);
      w.folios.put(head);
      expect(w.mm.isPmdMapped(P)).toBe(true);
    });
  });
});

describe('migration by pfn', () => {
  test('skips free, tail, locked and overhanging pages and notifies CLEAR', () => {
    check(pages(3), function* (w) {
      const there = w.args(P, 3);
      yield* migrateVmaSetup(there);
      w.fill(there);
      yield* w.finish(there);
      w.events.length = 0;
      const base = w.device.basePfn;
      w.folios.trylock(base + 1);
      const src = new MigratePfns(4);
      const dst = new MigratePfns(4);
      for (let i = 0; i < 4; i++) src.pfn[i] = base + i;
      expect(yield* migrateDevicePfns(w.folios, src, 4)).toBe(0);
      expect(Array.from(src.flags)).toEqual([PAGE, 0, PAGE, 0]);
      expect(w.events).toEqual([`CLEAR ${P}..${P + 1}`, `CLEAR ${P + 2}..${P + 3}`]);
      for (const i of [0, 2]) {
        const pfn = w.folios.allocFolio(0);
        w.folios.trylock(pfn);
        dst.set(i, pfn);
      }
      yield* migrateDevicePages(w.folios, src, dst, 4);
      yield* migrateDeviceFinalize(w.folios, src, dst, 4);
      expect([0, 1, 2].map((i) => w.mm.entryKind(P + i))).toEqual(['present', 'device-private', 'present']);
      w.folios.unlock(base + 1);
    });
  });

  test('refuses a large source with single destinations', () => {
    check(
      (w) => w.map(P, 512, THP, 1),
      function* (w) {
        const there = w.args(P, 512, SYSTEM | MIGRATE_VMA_SELECT_COMPOUND);
        yield* migrateVmaSetup(there);
        w.fill(there);
        yield* w.finish(there);
        const src = new MigratePfns(512);
        const dst = new MigratePfns(512);
        for (let i = 0; i < 512; i++) src.pfn[i] = w.device.basePfn + i;
        yield* migrateDevicePfns(w.folios, src, 512);
        expect(src.flags[0]).toBe(PAGE | MIGRATE_PFN_COMPOUND);
        for (let i = 0; i < 512; i++) {
          const pfn = w.folios.allocFolio(0);
          w.folios.trylock(pfn);
          dst.set(i, pfn);
        }
        yield* migrateDevicePages(w.folios, src, dst, 512);
        expect(src.flags[0]! & MIGRATE_PFN_MIGRATE).toBe(0);
        yield* migrateDeviceFinalize(w.folios, src, dst, 512);
        expect(w.mm.devicePages).toBe(512);
        expect(w.mm.isPmdMapped(P)).toBe(true);
      },
    );
  });
});
