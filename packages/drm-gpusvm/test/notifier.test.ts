import { mmuNotifierInvalidateRangeStart } from '@gpusvm/hmm';
import { EAGAIN } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import { GPUSVM_INVALIDATE, type GpusvmInvalidateEvent } from '../src/index.ts';
import { Driver, type DriverRange } from './support/driver.ts';
import { Host } from './support/host.ts';

function setUp(): { host: Host; driver: Driver; range: DriverRange } {
  const host = new Host();
  const driver = new Driver(host, { chunkPages: [16, 1] });
  host.mmap(0, 64, [16, 17]);
  const range = host.run(driver.findOrInsert(20)) as DriverRange;
  host.run(driver.getPages(range));
  return { host, driver, range };
}

describe('the invalidate callback', () => {
  it('hands the driver the event under the notifier lock in write mode, and invalidates the sequence number first', () => {
    const { host, driver, range } = setUp();
    const events: GpusvmInvalidateEvent[] = [];
    host.machine.trace.on(GPUSVM_INVALIDATE, (event) => events.push(event));
    const { notifierSeq } = range.pages;
    let seen: unknown;
    driver.onInvalidate = (notifier) => {
      seen = [
        driver.gpusvm.notifierLock.writeHeldByMe,
        notifier === range.notifier,
        notifier.invalidateSeq !== notifierSeq,
      ];
    };
    host.run(host.mm.munmap(0, 20));
    expect(seen).toEqual([true, true, true]);
    expect(driver.events.map(({ event, startPage, endPage }) => [event, startPage, endPage])).toEqual([
      ['UNMAP', 0, 20],
    ]);
    expect(events.map(({ phase, event }) => `${event} ${phase}`)).toEqual(['UNMAP begin', 'UNMAP end']);
    expect(host.count('gpusvm.invalidate')).toBe(1);
    expect(driver.tearDown()).toEqual([]);
  });

  it('refuses an event that must not sleep, and changes nothing', () => {
    const { host, driver, range } = setUp();
    const event = { event: 'CLEAR', startPage: 16, endPage: 17, owner: null, blockable: false } as const;
    expect(host.run(mmuNotifierInvalidateRangeStart(host.mm, event))).toBe(-EAGAIN);
    expect(range.pages.flags.hasDmaMapping).toBe(true);
    expect(driver.events).toEqual([]);
    expect(host.count('gpusvm.invalidate')).toBe(0);
    expect(driver.tearDown()).toEqual([]);
  });

  it('does not filter by owner', () => {
    const { host, driver, range } = setUp();
    const event = { event: 'MIGRATE', startPage: 16, endPage: 17, owner: driver, blockable: true } as const;
    expect(host.run(mmuNotifierInvalidateRangeStart(host.mm, event))).toBe(0);
    expect(range.pages.flags.hasDmaMapping).toBe(false);
  });

  it('is not called for windows without ranges', () => {
    const { host, driver } = setUp();
    host.mmap(4096, 64, [4100]);
    host.run(host.mm.munmap(4096, 64));
    expect(driver.events).toEqual([]);
    expect(driver.tearDown()).toEqual([]);
  });
});
