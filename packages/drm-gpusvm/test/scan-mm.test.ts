import type { Errno, Task } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import { drmGpusvmScanMm, DrmGpusvmScanResult } from '../src/index.ts';
import { classify, scanStep } from '../src/scan-mm.ts';
import { HMM_PFN_VALID, HmmPfns } from '@gpusvm/hmm';
import { Driver, type DriverRange } from './support/driver.ts';
import { Host, Vram } from './support/host.ts';
import { intrudeAfter } from './support/schedule.ts';

const { unpopulated, equal, other, system, mixedDevice, mixed } = DrmGpusvmScanResult;
/** A page: in the pagemap asked about, in one of two others, in RAM, or not there. */
const PAGES = ['A', 'B', 'C', 'S', '-'] as const;
type Page = (typeof PAGES)[number];

/** What the table says, from the set of pages rather than step by step. */
function oracle(pages: readonly Page[], asked: 'A' | null): string {
  if (pages.includes('-')) return unpopulated;
  const places = new Set(pages);
  const devices = [...places].filter((place) => place !== 'S');
  if (!places.has('S'))
    return devices.length > 1 ? mixedDevice : devices[0] === 'A' && asked === 'A' ? equal : other;
  if (devices.length === 0) return asked === null ? equal : system;
  // Asked about system memory, the kernel's scan sees two "pagemaps" and says so.
  return asked === null ? mixedDevice : mixed;
}

describe('the scan of placements', () => {
  it('says what the table says for every sequence of up to four pages', () => {
    const host = new Host();
    const vrams = { A: new Vram(host, 'A', 8), B: new Vram(host, 'B', 8), C: new Vram(host, 'C', 8) };
    const scan = (pages: readonly Page[], asked: 'A' | null): string => {
      const pfns = new HmmPfns(pages.length);
      pages.forEach((page, i) => {
        pfns.flags[i] = page === '-' ? 0 : HMM_PFN_VALID;
        if (page !== '-') pfns.pfn[i] = page === 'S' ? 100 + i : vrams[page].devPagemap.basePfn + i;
      });
      return classify(host.folios, pfns, pages.length, asked === null ? null : vrams.A.devPagemap);
    };
    let sequences: Page[][] = [[]];
    let count = 0;
    for (let length = 1; length <= 4; length++) {
      sequences = sequences.flatMap((pages) => PAGES.map((page) => [...pages, page]));
      count += sequences.length;
      for (const pages of sequences) {
        expect([pages, scan(pages, 'A')]).toEqual([pages, oracle(pages, 'A')]);
        expect([pages, scan(pages, null)]).toEqual([pages, oracle(pages, null)]);
      }
    }
    expect(count).toBe(5 + 25 + 125 + 625);
  });

  it('never leaves mixed', () => {
    for (const page of [equal, other, system, mixedDevice]) expect(scanStep(mixed, page)).toBe(mixed);
  });

  it('looks once at a huge mapping', () => {
    const host = new Host();
    const pfns = new HmmPfns(512);
    pfns.pfn.fill(512);
    pfns.flags[0] = HMM_PFN_VALID | (9 << 8);
    expect(classify(host.folios, pfns, 512, null)).toBe(equal);
  });
});

describe('drmGpusvmScanMm', () => {
  function setUp(profile: 'linux-7.3' | 'linux-7.0'): { host: Host; driver: Driver; range: DriverRange } {
    const host = new Host({ profile });
    const driver = new Driver(host, { chunkPages: [16, 1] });
    host.mmap(0, 64);
    return { host, driver, range: host.run(driver.findOrInsert(20)) as DriverRange };
  }

  it.each(['linux-7.3', 'linux-7.0'] as const)('is a snapshot that changes nothing: %s', (profile) => {
    const { host, driver, range } = setUp(profile);
    const scan = (): string => host.run(drmGpusvmScanMm(range, null, null));
    expect(scan()).toBe(unpopulated);
    expect(host.mm.residentPages).toBe(0);
    host.write(Array.from({ length: 15 }, (_, i) => 16 + i));
    expect(scan()).toBe(unpopulated);
    host.write([31]);
    expect(scan()).toBe(equal);
    expect(host.mm.users).toBe(1);
    expect(driver.tearDown()).toEqual([]);
  });

  it.each(['linux-7.3', 'linux-7.0'] as const)(
    'is unpopulated when it cannot look, with every lock balanced (G6): %s',
    (profile) => {
      const { host, driver, range } = setUp(profile);
      host.write(Array.from({ length: 16 }, (_, i) => 16 + i));
      host.machine.faultInjection.failNth('gpusvm.alloc_pfns', 1);
      expect(host.run(drmGpusvmScanMm(range, null, null))).toBe(unpopulated);
      host.run(host.mm.munmap(20, 1));
      expect(host.run(drmGpusvmScanMm(range, null, null))).toBe(unpopulated);
      host.run(host.mm.exit());
      expect(host.run(drmGpusvmScanMm(range, null, null))).toBe(unpopulated);
      expect(driver.gpusvm.notifierLock.tryDownWrite()).toBe(true);
      driver.gpusvm.notifierLock.upWrite();
      expect([host.mm.users, host.live('gpusvm pfn array')]).toEqual([0, []]);
      expect(driver.tearDown()).toEqual([]);
    },
  );

  it.each(['linux-7.3', 'linux-7.0'] as const)(
    'is unpopulated when the time is up, and releases only the locks it has (G6): %s',
    (profile) => {
      const { host, driver, range } = setUp(profile);
      host.write(Array.from({ length: 16 }, (_, i) => 16 + i));
      const { mmapLock } = host.mm;
      const downRead = mmapLock.downRead.bind(mmapLock);
      // Two seconds and an invalidation go by while the task waits for the mmap lock.
      mmapLock.tryDownRead = () => false;
      mmapLock.downRead = () => {
        host.machine.clock.advance(2e9);
        range.notifier.invalidateSeq -= 2;
        return downRead();
      };
      expect(host.run(drmGpusvmScanMm(range, null, null))).toBe(unpopulated);
      expect([host.mm.users, host.live('gpusvm pfn array')]).toEqual([1, []]);
      expect(driver.gpusvm.notifierLock.tryDownWrite()).toBe(true);
    },
  );

  it.each<[string, (host: Host) => Task<Errno>, string]>([
    ['took a page', ({ mm }) => mm.madviseDontneed(20, 1), unpopulated],
    ['left all pages', ({ mm }) => mm.mprotect(20, 1, { read: true, write: false }), equal],
  ])('looks again when an event %s', (_, event, after) => {
    let turns = 0;
    for (; ; turns++) {
      const scheduling = intrudeAfter('scan', 'cpu', turns);
      const host = new Host({ scheduling });
      const driver = new Driver(host, { chunkPages: [16, 1] });
      host.mmap(
        16,
        16,
        Array.from({ length: 16 }, (_page, i) => 16 + i),
      );
      const range = host.run(driver.findOrInsert(20)) as DriverRange;
      const scan = host.machine.spawn(drmGpusvmScanMm(range, null, null), 'scan');
      host.machine.spawn(event(host), 'cpu');
      host.machine.drain();
      expect(scan.result).toBe(scheduling.used ? after : equal);
      expect(driver.tearDown()).toEqual([]);
      if (!scheduling.used) break;
    }
    expect(turns).toBeGreaterThan(2);
  });

  it('does not take sticky bits of an earlier use for its own (G5)', () => {
    const { host, driver, range } = setUp('linux-7.3');
    const scratch = driver.gpusvm.pfnPool.take(range.notifier, 16, 32, null)!;
    scratch.pfns.flags.fill(0xffff);
    driver.gpusvm.pfnPool.give(scratch);
    expect(host.run(drmGpusvmScanMm(range, null, null))).toBe(unpopulated);
    expect([...scratch.pfns.flags.subarray(0, 16)]).toEqual(Array.from({ length: 16 }, () => 0));
    expect(host.mm.residentPages).toBe(0);
  });
});
