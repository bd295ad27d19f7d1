import { mapStrategy } from '@gpusvm/drm-pagemap';
import { describe, expect, it } from 'vitest';
import {
  DrmGpusvmPages,
  drmGpusvmUnmapPages,
  GPUSVM_PAGES_UNMAPPED,
  type PagesUnmappedEvent,
} from '../src/index.ts';
import { Driver, type DriverRange } from './support/driver.ts';
import { CTX, Host } from './support/host.ts';

function setUp(): { host: Host; driver: Driver; range: DriverRange } {
  const host = new Host();
  const driver = new Driver(host, { chunkPages: [16, 1] });
  host.mmap(0, 64, [16, 17]);
  const range = host.run(driver.findOrInsert(20)) as DriverRange;
  host.run(driver.getPages(range));
  return { host, driver, range };
}

describe('drmGpusvmUnmapPages', () => {
  it('unmaps once, however often it is called', () => {
    const { host, driver, range } = setUp();
    const events: PagesUnmappedEvent[] = [];
    host.machine.trace.on(GPUSVM_PAGES_UNMAPPED, (event) => events.push(event));
    for (let i = 0; i < 3; i++) host.run(drmGpusvmUnmapPages(driver.gpusvm, range.pages, 16, CTX));
    expect(host.mappings).toEqual([]);
    expect(events).toEqual([{ gpusvm: 'svm', device: 'gpu', npages: 16, unwind: false }]);
    expect(range.pages.flags).toEqual({ unmapped: false, hasDevmemPages: false, hasDmaMapping: false });
    expect(driver.tearDown()).toEqual([]);
  });

  it('reports a caller that claims to be in its notifier and holds the lock for reading only (X1)', () => {
    const { host, driver, range } = setUp();
    const { notifierLock } = driver.gpusvm;
    function* wrong() {
      yield* notifierLock.downRead();
      yield* drmGpusvmUnmapPages(driver.gpusvm, range.pages, 16, { ...CTX, inNotifier: true });
    }
    expect(() => host.run(wrong())).toThrow('notifier lock of svm must be held for writing');
    expect(range.pages.flags.hasDmaMapping).toBe(true);
  });

  it('refuses to unmap a part of a mapping', () => {
    const { host, driver, range } = setUp();
    expect(() => host.run(drmGpusvmUnmapPages(driver.gpusvm, range.pages, 8, CTX))).toThrow(RangeError);
  });

  it('does nothing for pages that were never mapped', () => {
    const { host, driver } = setUp();
    const pages = new DrmGpusvmPages(host.device, mapStrategy('iova-packed'));
    host.run(drmGpusvmUnmapPages(driver.gpusvm, pages, 16, CTX));
    expect(host.count('gpusvm.unmapPages')).toBe(0);
    expect(driver.tearDown()).toEqual([]);
  });
});
