import { EBUSY, EFAULT, EINVAL, ENOMEM, EPERM, type Errno } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import {
  drmGpusvmFreePages,
  drmGpusvmPagesValid,
  GPUSVM_GET_PAGES,
  type GetPagesEvent,
} from '../src/index.ts';
import { Driver, type DriverRange } from './support/driver.ts';
import { Host, type HostOptions, readThrough } from './support/host.ts';

const PAGES = Array.from({ length: 16 }, (_, i) => 16 + i);
const TAGS = PAGES.map((page) => 100 + page);

/** A range of 16 pages, all written by the CPU. */
function setUp(o: HostOptions = {}): { host: Host; driver: Driver; range: DriverRange } {
  const host = new Host(o);
  const driver = new Driver(host, { chunkPages: [16, 1] });
  host.mmap(0, 64, PAGES);
  const range = host.run(driver.findOrInsert(20)) as DriverRange;
  return { host, driver, range };
}

function isValid(host: Host, driver: Driver, range: DriverRange): boolean {
  return host.run(
    (function* () {
      yield* driver.gpusvm.notifierLock.downRead();
      const valid = drmGpusvmPagesValid(driver.gpusvm, range.pages);
      driver.gpusvm.notifierLock.upRead();
      return valid;
    })(),
  );
}

describe.each(['linux-7.3', 'linux-7.0'] as const)('drmGpusvmGetPages of %s', (profile) => {
  it('maps what the CPU has and faults in what it has not', () => {
    const { host, driver, range } = setUp({ profile });
    expect(isValid(host, driver, range)).toBe(false);
    expect(host.run(driver.getPages(range))).toBe(0);
    expect(isValid(host, driver, range)).toBe(true);
    expect(readThrough(host.device, range.pages.addrs)).toEqual(TAGS);
    expect(range.pages.npages).toBe(16);
    expect(host.mm.users).toBe(1);
    const empty = host.run(driver.findOrInsert(40)) as DriverRange;
    expect(host.run(driver.getPages(empty))).toBe(0);
    expect(host.mm.entryKind(47)).toBe('present');
    expect(host.count('gpusvm.pagesMapped')).toBe(32);
    expect(driver.tearDown()).toEqual([]);
  });

  it('takes the fast path while the pages are valid, and starts from scratch after an invalidation', () => {
    const { host, driver, range } = setUp({ profile });
    host.run(driver.getPages(range));
    const faults = host.count('hmm.rangeFault');
    const addrs = range.pages.addrs;
    expect(host.run(driver.getPages(range))).toBe(0);
    expect([host.count('hmm.rangeFault'), host.count('gpusvm.getPagesFast')]).toEqual([faults, 1]);
    expect(range.pages.addrs).toBe(addrs);
    host.run(host.mm.madviseDontneed(20, 1));
    expect(isValid(host, driver, range)).toBe(false);
    expect(host.mappings).toEqual([]);
    expect(range.pages.addrs.count).toBe(0);
    expect(host.run(driver.getPages(range))).toBe(0);
    expect(readThrough(host.device, range.pages.addrs)).toEqual(TAGS.map((tag, i) => (i === 4 ? 0 : tag)));
    expect(driver.tearDown()).toEqual([]);
  });

  it('lets the write go through to the CPU', () => {
    const { host, driver, range } = setUp({ profile });
    host.run(driver.getPages(range));
    expect(host.device.writeTag(range.pages.addrs.addr[0]! + 4096, 7)).toBe(true);
    expect(host.mm.tryReadTag(17)).toBe(7);
    expect(driver.tearDown()).toEqual([]);
  });

  it('is -EPERM for a write to a mapping that became read-only, and maps nothing', () => {
    const { host, driver, range } = setUp({ profile });
    host.run(host.mm.mprotect(16, 16, { read: true, write: false }));
    expect(host.run(driver.getPages(range))).toBe(-EPERM);
    expect(host.mappings).toEqual([]);
    expect(host.run(driver.getPages(range, { readOnly: true }))).toBe(0);
    expect(driver.tearDown()).toEqual([]);
  });

  it('is -EFAULT for a dying mm, and for a hole', () => {
    const { host, driver, range } = setUp({ profile });
    host.run(host.mm.munmap(20, 1));
    expect(host.run(driver.getPages(range))).toBe(-EFAULT);
    host.run(host.mm.exit());
    expect(host.run(driver.getPages(range))).toBe(-EFAULT);
    expect(host.mappings).toEqual([]);
    expect(driver.tearDown()).toEqual([]);
  });

  it('is -EFAULT for a range whose mapping went away, for ever', () => {
    const { host, driver, range } = setUp({ profile });
    host.run(host.mm.munmap(16, 16));
    expect(range.flags.unmapped).toBe(true);
    host.mmap(16, 16, PAGES);
    expect(host.run(driver.getPages(range))).toBe(-EFAULT);
    expect(host.mappings).toEqual([]);
    expect(host.run(driver.fault(20))).toBe(0);
    expect(driver.read(20)).toBe(120);
    expect(driver.freed).toEqual([range]);
    expect(driver.tearDown()).toEqual([]);
  });

  it('gives no system page to a caller that insists on device memory, mapped or not (U4)', () => {
    const { host, driver, range } = setUp({ profile });
    expect(host.run(driver.getPages(range, { devmemOnly: true }))).toBe(-EFAULT);
    expect(host.mappings).toEqual([]);
    host.run(driver.getPages(range));
    expect(host.run(driver.getPages(range, { devmemOnly: true }))).toBe(-EFAULT);
    expect(readThrough(host.device, range.pages.addrs)).toEqual(TAGS);
    expect(driver.tearDown()).toEqual([]);
  });

  it.each(['gpusvm.alloc_pfns', 'gpusvm.alloc_addrs'])(
    'is -ENOMEM when %s fails, and maps nothing',
    (site) => {
      const { host, driver, range } = setUp({ profile });
      host.machine.faultInjection.failNth(site, 1);
      expect(host.run(driver.getPages(range))).toBe(-ENOMEM);
      expect(host.mappings).toEqual([]);
      expect([host.mm.users, host.live('gpusvm pfn array')]).toEqual([1, []]);
      expect(host.run(driver.getPages(range))).toBe(0);
      expect(driver.tearDown()).toEqual([]);
    },
  );

  it('leaves nothing when the k-th of anything fails, and works afterwards', () => {
    let err: Errno = 0;
    let failures = 0;
    let k = 0;
    do {
      const { host, driver, range } = setUp({ profile });
      const { faultInjection } = host.machine;
      faultInjection.failAnyNth(++k);
      err = host.run(driver.getPages(range));
      faultInjection.reset();
      failures = faultInjection.sites().reduce((sum, site) => sum + site.failures, 0);
      expect([isValid(host, driver, range), host.mappings.length > 0]).toEqual([err === 0, err === 0]);
      expect(host.mm.users).toBe(1);
      expect(host.run(driver.getPages(range))).toBe(0);
      expect(readThrough(host.device, range.pages.addrs)).toEqual(TAGS);
      expect(driver.tearDown()).toEqual([]);
    } while (failures > 0);
    expect(err).toBe(0);
    expect(k).toBeGreaterThan(5);
  });

  it('gives up with -EBUSY after a second of collisions', () => {
    const { host, driver, range } = setUp({ profile });
    const events: GetPagesEvent[] = [];
    host.machine.trace.on(GPUSVM_GET_PAGES, (event) => events.push(event));
    const put = host.mm.mmput.bind(host.mm);
    // As if an invalidation came between every single fault and the lock.
    host.mm.mmput = () => {
      range.notifier.invalidateSeq -= 2;
      put();
    };
    expect(host.run(driver.getPages(range))).toBe(-EBUSY);
    expect(host.machine.clock.nowNs).toBeGreaterThan(1e9);
    expect(host.machine.clock.nowNs).toBeLessThan(1.1e9);
    expect(events).toHaveLength(1);
    expect(events[0]!.err).toBe(-EBUSY);
    expect(events[0]!.rounds).toBe(host.count('gpusvm.getPagesRetry') + 1);
    expect(host.mappings).toEqual([]);
  });

  it('refuses a pages object without a device', () => {
    const { host, driver, range } = setUp({ profile });
    Object.assign(range.pages, { dev: null });
    expect(host.run(driver.getPages(range))).toBe(-EINVAL);
  });
});

describe('drmGpusvmFreePages', () => {
  it('unmaps and drops the addresses, once or twice', () => {
    const { host, driver, range } = setUp();
    host.run(driver.getPages(range));
    host.run(drmGpusvmFreePages(driver.gpusvm, range.pages, 16));
    host.run(drmGpusvmFreePages(driver.gpusvm, range.pages, 16));
    expect(host.mappings).toEqual([]);
    expect(range.pages.addrs.addr.length).toBe(0);
    expect(host.count('gpusvm.unmapPages')).toBe(1);
    expect(() => drmGpusvmPagesValid(driver.gpusvm, range.pages)).toThrow('must be held');
    expect(driver.tearDown()).toEqual([]);
  });
});
