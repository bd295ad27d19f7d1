import { describe, expect, it } from 'vitest';
import { GPUSVM_NOTIFIER_REMOVE, GPUSVM_RANGE_REMOVE } from '../src/index.ts';
import { Driver, type DriverRange } from './support/driver.ts';
import { Host } from './support/host.ts';

describe('drmGpusvmFini', () => {
  it('ends every subscription before the ranges of its window go, and lets the mm go', () => {
    const host = new Host();
    const driver = new Driver(host, { notifierPages: 512 });
    host.mmap(0, 2048, [5, 700]);
    const ranges = [5, 700, 1030].map((page) => host.run(driver.findOrInsert(page)) as DriverRange);
    for (const range of ranges) host.run(driver.getPages(range));
    const log: string[] = [];
    host.machine.trace.on(GPUSVM_RANGE_REMOVE, ({ startPage }) => {
      const range = ranges.find((r) => r.startPage === startPage)!;
      log.push(`range ${startPage}, subscribed ${range.notifier.mm !== null}`);
    });
    host.machine.trace.on(GPUSVM_NOTIFIER_REMOVE, ({ startPage }) => log.push(`notifier ${startPage}`));
    const { count } = host.mm;
    host.run(driver.fini());
    expect(log).toEqual([0, 512, 1024].flatMap((at) => [`range ${at}, subscribed false`, `notifier ${at}`]));
    // Each subscription held the structure too.
    expect(host.mm.count).toBe(count - 4);
    expect(host.machine.warnings).toBe(0);
    expect(host.tearDown()).toEqual([]);
  });

  it('names what the driver forgot to unmap', () => {
    const host = new Host();
    const driver = new Driver(host);
    host.mmap(0, 512, [5]);
    const range = host.run(driver.findOrInsert(5)) as DriverRange;
    host.run(driver.getPages(range));
    range.pages.flags.hasDmaMapping = false;
    host.run(driver.fini());
    expect(host.live('gpusvm pages mapping')).toEqual(['gpusvm pages mapping 1 svm on gpu']);
  });

  it('does nothing for a mirror without ranges', () => {
    const host = new Host();
    const driver = new Driver(host);
    expect(driver.tearDown()).toEqual([]);
    expect(host.count('gpusvm.rangeRemoved')).toBe(0);
  });
});
