import { describe, expect, it } from 'vitest';
import {
  drmGpusvmRangeGet,
  drmGpusvmRangePut,
  drmGpusvmRangeRemove,
  drmGpusvmRangeSetUnmapped,
  DrmGpusvmRange,
  GPUSVM_RANGE_UNMAPPED,
  type RangeUnmappedEvent,
} from '../src/index.ts';
import { mmuNotifierRange } from '@gpusvm/hmm';
import { Driver, type DriverRange } from './support/driver.ts';
import { Host, type HostOptions } from './support/host.ts';

function setUp(o: HostOptions = {}): { host: Host; driver: Driver; range: DriverRange } {
  const host = new Host(o);
  const driver = new Driver(host, { chunkPages: [16, 1] });
  host.mmap(0, 4096, [16, 17, 40]);
  const range = host.run(driver.findOrInsert(20)) as DriverRange;
  return { host, driver, range };
}

describe('drmGpusvmRangeRemove', () => {
  it('takes the notifier away with its last range only', () => {
    const { host, driver, range } = setUp();
    const second = host.run(driver.findOrInsert(40)) as DriverRange;
    host.run(driver.locked(drmGpusvmRangeRemove(driver.gpusvm, range)));
    expect(driver.ranges()).toEqual([second]);
    expect(host.live('interval notifier')).toHaveLength(1);
    host.run(driver.locked(drmGpusvmRangeRemove(driver.gpusvm, second)));
    expect(host.live('interval notifier', 'gpusvm notifier', 'gpusvm range')).toEqual([]);
    expect(driver.freed).toEqual([range, second]);
    expect(driver.tearDown()).toEqual([]);
  });

  it('leaves a range alive that somebody still holds', () => {
    const { host, driver, range } = setUp();
    drmGpusvmRangeGet(range, 'test');
    host.run(driver.locked(drmGpusvmRangeRemove(driver.gpusvm, range)));
    expect(driver.freed).toEqual([]);
    expect(host.live('gpusvm range')).toEqual(['gpusvm range 1 svm [16, 32)']);
    drmGpusvmRangePut(range, 'test');
    expect(driver.freed).toEqual([range]);
    expect(driver.tearDown()).toEqual([]);
  });

  it('only unlinks since 7.3; up to 7.2 it unmaps the pages of the range', () => {
    for (const [profile, mapped] of [
      ['linux-7.3', 1],
      ['linux-7.2', 0],
    ] as const) {
      const { host, driver, range } = setUp({ profile });
      host.run(driver.getPages(range));
      host.run(driver.locked(drmGpusvmRangeRemove(driver.gpusvm, range)));
      expect(host.live('gpusvm pages mapping')).toHaveLength(mapped);
    }
  });

  it('reports the lock that is missing or too much, and a second removal', () => {
    const { host, driver, range } = setUp();
    const { gpusvm } = driver;
    expect(() => host.run(drmGpusvmRangeRemove(gpusvm, range))).toThrow(
      'rwsem vm.lock must be held for writing',
    );
    function* underNotifierLock() {
      yield* driver.lock.downWrite();
      yield* gpusvm.notifierLock.downRead();
      yield* drmGpusvmRangeRemove(gpusvm, range);
    }
    expect(() => host.run(underNotifierLock())).toThrow('under the notifier lock');
    const other = setUp();
    other.host.run(other.driver.locked(drmGpusvmRangeRemove(other.driver.gpusvm, other.range)));
    const again = other.driver.locked(drmGpusvmRangeRemove(other.driver.gpusvm, other.range));
    expect(() => other.host.run(again)).toThrow('removed twice');
  });

  it('knows that a range without a place has no notifier', () => {
    const { driver } = setUp();
    expect(() => new DrmGpusvmRange(driver.gpusvm).notifier).toThrow('no place');
  });
});

describe('drmGpusvmRangeSetUnmapped', () => {
  it.each<[string, number, number, boolean]>([
    ['the whole range', 16, 16, false],
    ['more than the range', 10, 40, false],
    ['its head', 10, 10, true],
    ['its tail', 24, 40, true],
    ['its middle', 20, 2, true],
  ])('marks range and pages when an event takes %s', (_, start, pages, partial) => {
    const { host, driver, range } = setUp();
    const events: RangeUnmappedEvent[] = [];
    host.machine.trace.on(GPUSVM_RANGE_UNMAPPED, (event) => events.push(event));
    host.run(driver.getPages(range));
    host.run(host.mm.munmap(start, pages));
    expect(range.flags).toEqual({ migrateDevmem: false, unmapped: true, partialUnmap: partial });
    expect(range.pages.flags).toEqual({ unmapped: true, hasDevmemPages: false, hasDmaMapping: false });
    expect(host.mappings).toEqual([]);
    expect(events).toEqual([{ gpusvm: 'svm', startPage: 16, endPage: 32, partial }]);
    expect(driver.garbage).toEqual([range]);
    expect(driver.tearDown()).toEqual([]);
  });

  it('puts a range on the garbage list once, and a later event does not take partial back', () => {
    const { host, driver, range } = setUp();
    host.run(host.mm.munmap(20, 2));
    host.run(host.mm.munmap(16, 4));
    expect(driver.garbage).toEqual([range]);
    expect(range.flags.partialUnmap).toBe(true);
    host.run(driver.locked(driver.collect()));
    expect(driver.ranges()).toEqual([]);
    expect(driver.tearDown()).toEqual([]);
  });

  it('leaves a range alone that other events invalidate', () => {
    const { host, driver, range } = setUp();
    host.run(driver.getPages(range));
    host.run(host.mm.mprotect(16, 4, { read: true, write: false }));
    host.run(host.mm.madviseDontneed(16, 16));
    expect(range.flags.unmapped).toBe(false);
    expect(driver.garbage).toEqual([]);
    expect(host.mappings).toEqual([]);
    expect(driver.tearDown()).toEqual([]);
  });

  it('demands the notifier lock in write mode', () => {
    const { range } = setUp();
    const event = mmuNotifierRange('UNMAP', 0, 64);
    expect(() => drmGpusvmRangeSetUnmapped(range, range.pages, event)).toThrow('must be held for writing');
    expect(range.flags.unmapped).toBe(false);
  });
});
