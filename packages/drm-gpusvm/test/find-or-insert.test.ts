import { EFAULT, EINVAL, EIO, ENOENT, ENOMEM, EPERM, errnoName } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import {
  drmGpusvmFindVmaStart,
  drmGpusvmForEachNotifier,
  drmGpusvmHasMapping,
  drmGpusvmNotifierFind,
  type DrmGpusvmRange,
  drmGpusvmRangeFind,
  drmGpusvmRangeFindOrInsert,
} from '../src/index.ts';
import { Driver, type DriverOptions, type DriverRange } from './support/driver.ts';
import { CTX, Host, type HostOptions } from './support/host.ts';

function setUp(o: HostOptions = {}, d: DriverOptions = {}): { host: Host; driver: Driver } {
  const host = new Host(o);
  return { host, driver: new Driver(host, d) };
}

/** Nothing of a failed call is left. */
function expectNothing({ host, driver }: { host: Host; driver: Driver }, users = 1): void {
  expect(host.live('gpusvm notifier', 'gpusvm range', 'interval notifier', 'gpusvm pfn array')).toEqual([]);
  expect(host.mm.users).toBe(users);
  expect(drmGpusvmHasMapping(driver.gpusvm, 0, 2 ** 20)).toBe(false);
}

const span = (range: DrmGpusvmRange | number): [number, number] | string =>
  typeof range === 'number' ? errnoName(range) : [range.startPage, range.endPage];

describe('drmGpusvmRangeFindOrInsert', () => {
  it('makes the largest range that fits, with its notifier, and finds it again', () => {
    const rig = setUp();
    const { host, driver } = rig;
    host.mmap(600, 2000);
    const made = host.run(driver.findOrInsert(700)) as DriverRange;
    expect(span(made)).toEqual([688, 704]);
    expect(span(host.run(driver.findOrInsert(1025)))).toEqual([1024, 1536]);
    expect(span(host.run(driver.findOrInsert(2600)))).toEqual(errnoName(-ENOENT));
    expect(host.run(driver.findOrInsert(690))).toBe(made);
    expect(made.kref.describe()).toBe('tree 1');
    expect(driver.ranges().map(span)).toEqual([
      [688, 704],
      [1024, 1536],
    ]);
    expect(host.count('gpusvm.rangeCreated')).toBe(2);
    expect(host.count('gpusvm.findOrInsert')).toBe(4);
    expect(driver.gpusvm.notifiers.size).toBe(1);
    expect(driver.tearDown()).toEqual([]);
  });

  it('keeps ranges disjoint, aligned, of a chunk size, and inside one notifier window', () => {
    const { host, driver } = setUp({}, { notifierPages: 1024 });
    host.mmap(3, 3000);
    for (const page of [900, 3, 520, 1023, 1024, 1536, 2999, 3002, 17]) host.run(driver.findOrInsert(page));
    let last = 0;
    drmGpusvmForEachNotifier(driver.gpusvm, 0, 4096, (notifier) => {
      expect(notifier.startPage % 1024).toBe(0);
      expect(notifier.endPage - notifier.startPage).toBe(1024);
      notifier.ranges.forEach((range) => {
        const size = range.endPage - range.startPage;
        expect([512, 16, 1]).toContain(size);
        expect(range.startPage % size).toBe(0);
        expect(range.startPage).toBeGreaterThanOrEqual(last);
        expect(range.startPage >= notifier.startPage && range.endPage <= notifier.endPage).toBe(true);
        last = range.endPage;
      });
    });
    expect(last).toBe(3003);
    expect(driver.tearDown()).toEqual([]);
  });

  it('refuses pages outside of the mirror, its end included (Qf): -EINVAL', () => {
    const rig = setUp({}, { startPage: 64, pages: 64 });
    rig.host.mmap(0, 512);
    for (const page of [63, 128, 200]) expect(rig.host.run(rig.driver.findOrInsert(page))).toBe(-EINVAL);
    expectNothing(rig);
    expect(span(rig.host.run(rig.driver.findOrInsert(127, {}, 64, 128)))).toEqual([112, 128]);
  });

  it('fails with -EFAULT when the mm is dying', () => {
    const rig = setUp();
    rig.host.mmap(0, 512);
    rig.host.run(rig.host.mm.exit());
    expect(rig.host.run(rig.driver.findOrInsert(1))).toBe(-EFAULT);
    expectNothing(rig, 0);
  });

  it('fails with -ENOENT where no CPU VMA is', () => {
    const rig = setUp();
    rig.host.mmap(0, 16);
    expect(rig.host.run(rig.driver.findOrInsert(16))).toBe(-ENOENT);
    expectNothing(rig);
  });

  it('fails with -EPERM for a write into a read-only VMA, and lets a reader in', () => {
    const rig = setUp();
    rig.host.mmap(0, 512, [], { write: false });
    expect(rig.host.run(rig.driver.findOrInsert(1))).toBe(-EPERM);
    expectNothing(rig);
    expect(span(rig.host.run(rig.driver.findOrInsert(1, { readOnly: true })))).toEqual([0, 512]);
  });

  it('refuses an I/O VMA since 7.3 only, after the write test', () => {
    const rig = setUp();
    rig.host.mmap(0, 512, [], { io: true });
    rig.host.mmap(512, 512, [], { io: true, write: false });
    expect(rig.host.run(rig.driver.findOrInsert(1))).toBe(-EIO);
    expect(rig.host.run(rig.driver.findOrInsert(513))).toBe(-EPERM);
    expectNothing(rig);
    const old = setUp({ profile: 'linux-7.2' });
    old.host.mmap(0, 512, [], { io: true });
    expect(span(old.host.run(old.driver.findOrInsert(1)))).toEqual([0, 512]);
  });

  it('fails with -EINVAL when not even a page fits into the GPU VMA', () => {
    const rig = setUp();
    rig.host.mmap(0, 512);
    expect(rig.host.run(rig.driver.findOrInsert(5, {}, 6, 512))).toBe(-EINVAL);
    expectNothing(rig);
    expect(span(rig.host.run(rig.driver.findOrInsert(17, {}, 16, 40)))).toEqual([16, 32]);
  });

  it.each(['gpusvm.notifier', 'gpusvm.range'])(
    'fails with -ENOMEM when %s fails, and leaves nothing',
    (site) => {
      const rig = setUp();
      rig.host.mmap(0, 512);
      rig.host.machine.faultInjection.failNth(site, 1);
      expect(rig.host.run(rig.driver.findOrInsert(1))).toBe(-ENOMEM);
      expectNothing(rig);
      expect(span(rig.host.run(rig.driver.findOrInsert(1)))).toEqual([0, 512]);
      expect(rig.driver.tearDown()).toEqual([]);
    },
  );

  it('fails with -ENOMEM when the driver has no range, and keeps a notifier that others use', () => {
    const { host, driver } = setUp();
    host.mmap(0, 1024);
    host.run(driver.findOrInsert(1));
    host.machine.faultInjection.failNth('gpusvm.range', 1);
    expect(host.run(driver.findOrInsert(600))).toBe(-ENOMEM);
    expect(driver.gpusvm.notifiers.size).toBe(1);
    expect(driver.ranges().map(span)).toEqual([[0, 512]]);
    expect(driver.tearDown()).toEqual([]);
  });

  it('lets only private anonymous memory of ordinary pages migrate, and only if a device has memory', () => {
    const { host, driver } = setUp();
    host.mmap(0, 512);
    host.mmap(512, 512, [], { file: true });
    host.mmap(1024, 512, [], { hugetlb: true });
    const may = (page: number, devmemPossible = true): boolean =>
      (host.run(driver.findOrInsert(page, { devmemPossible })) as DrmGpusvmRange).flags.migrateDevmem;
    expect([may(0), may(512), may(1024)]).toEqual([true, false, false]);
    const other = setUp();
    other.host.mmap(0, 512);
    const range = other.host.run(other.driver.findOrInsert(0)) as DrmGpusvmRange;
    expect(range.flags).toEqual({ migrateDevmem: false, unmapped: false, partialUnmap: false });
  });

  it('takes a chunk up to the threshold only if every page of it is there', () => {
    const { host, driver } = setUp();
    host.mmap(0, 511);
    host.write([0, 1, 2, ...Array.from({ length: 16 }, (_, i) => 16 + i)]);
    const before = host.folios.memory.freePages;
    expect(span(host.run(driver.findOrInsert(2, { checkPagesThreshold: 16 })))).toEqual([2, 3]);
    expect(span(host.run(driver.findOrInsert(20, { checkPagesThreshold: 16 })))).toEqual([16, 32]);
    expect(span(host.run(driver.findOrInsert(40, { checkPagesThreshold: 16 })))).toEqual([40, 41]);
    // A look must not fault anything in.
    expect(host.folios.memory.freePages).toBe(before);
    host.machine.faultInjection.failNth('gpusvm.alloc_pfns', 1);
    host.write(Array.from({ length: 16 }, (_, i) => 64 + i));
    expect(span(host.run(driver.findOrInsert(64, { checkPagesThreshold: 16 })))).toEqual([64, 65]);
    expect(driver.tearDown()).toEqual([]);
  });

  it('takes a large chunk above the threshold although nothing is there', () => {
    const { host, driver } = setUp();
    host.mmap(0, 512);
    expect(span(host.run(driver.findOrInsert(2, { checkPagesThreshold: 16 })))).toEqual([0, 512]);
  });

  it('demands the driver lock in write mode', () => {
    const { host, driver } = setUp();
    host.mmap(0, 512);
    const find = drmGpusvmRangeFindOrInsert(driver.gpusvm, 1, 0, 512, CTX);
    expect(() => host.run(find)).toThrow('rwsem vm.lock must be held for writing');
    function* underRead() {
      yield* driver.lock.downRead();
      return yield* drmGpusvmRangeFindOrInsert(driver.gpusvm, 1, 0, 512, CTX);
    }
    expect(() => host.run(underRead())).toThrow('rwsem vm.lock must be held for writing');
  });
});

describe('looking for ranges', () => {
  it('finds the first overlap and says nothing about gaps', () => {
    const { host, driver } = setUp({}, { notifierPages: 512 });
    host.mmap(0, 2048);
    host.run(driver.findOrInsert(1030, {}, 1024, 1100));
    const notifier = drmGpusvmNotifierFind(driver.gpusvm, 0, 2048)!;
    expect([notifier.startPage, notifier.endPage]).toEqual([1024, 1536]);
    expect(drmGpusvmNotifierFind(driver.gpusvm, 0, 1024)).toBeNull();
    expect(span(drmGpusvmRangeFind(notifier, 0, 2048)!)).toEqual([1024, 1040]);
    expect(drmGpusvmRangeFind(notifier, 1040, 2048)).toBeNull();
    expect(drmGpusvmHasMapping(driver.gpusvm, 1039, 1040)).toBe(true);
    expect(drmGpusvmHasMapping(driver.gpusvm, 1040, 2048)).toBe(false);
    expect(drmGpusvmHasMapping(driver.gpusvm, 1030, 1030)).toBe(false);
  });

  it('finds where the next CPU VMA begins', () => {
    const { host, driver } = setUp();
    host.mmap(100, 10);
    const next = (from: number, to: number): number =>
      host.run(drmGpusvmFindVmaStart(driver.gpusvm, from, to));
    expect(next(0, 200)).toBe(100);
    expect(next(105, 200)).toBe(100);
    expect(next(0, 100)).toBe(Infinity);
    expect(next(110, 200)).toBe(Infinity);
    host.run(host.mm.exit());
    expect(next(0, 200)).toBe(Infinity);
  });
});
