import { type Errno, errnoName, random, type Task } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import { Driver, type DriverRange } from './support/driver.ts';
import { Host, readThrough } from './support/host.ts';
import { intrudeAfter } from './support/schedule.ts';

const PROFILES = ['linux-7.3', 'linux-7.0'] as const;

function setUp(host: Host): { driver: Driver; range: DriverRange } {
  const driver = new Driver(host, { chunkPages: [16, 1] });
  host.mmap(0, 64, [16, 17, 20, 31]);
  return { driver, range: host.run(driver.findOrInsert(20)) as DriverRange };
}

/** What the GPU can reach is what the CPU has, and no mapping exists that the GPU does not know of. */
function expectCoherent(host: Host, driver: Driver): void {
  for (const page of driver.table.keys()) {
    expect([page, driver.read(page)]).toEqual([page, host.mm.tryReadTag(page)]);
    expect(host.mm.tryReadTag(page)).toBeGreaterThanOrEqual(0);
  }
  const flags = driver.ranges().map((range) => [range.flags.unmapped, range.pages.flags.hasDmaMapping]);
  expect(flags).not.toContainEqual([true, true]);
  expect(host.live('gpusvm pfn array')).toEqual([]);
  expect(host.mm.users).toBe(1);
}

interface Intruder {
  readonly name: string;
  readonly run: (host: Host) => Task<unknown>;
  /** Result of a GPU fault at page 20 that was in time, or came too late. */
  readonly results: readonly Errno[];
}

const INTRUDERS: readonly Intruder[] = [
  { name: 'madvise DONTNEED of one page', run: ({ mm }) => mm.madviseDontneed(20, 1), results: [0] },
  { name: 'munmap of one page', run: ({ mm }) => mm.munmap(31, 1), results: [0] },
  {
    name: 'mprotect to read-only',
    run: ({ mm }) => mm.mprotect(0, 64, { read: true, write: false }),
    results: [0, -1],
  },
  { name: 'a CPU write', run: ({ mm }) => mm.cpuWrite(18, 7), results: [0] },
  { name: 'munmap of everything', run: ({ mm }) => mm.munmap(0, 64), results: [0, -2] },
  {
    name: 'munmap and a new mapping',
    run: function* ({ mm }) {
      yield* mm.munmap(16, 16);
      yield* mm.mmap(16, 16, { read: true, write: true });
      yield* mm.cpuWrite(20, 9);
    },
    results: [0, -2],
  },
];

describe.each(PROFILES)('an event at every place where a GPU fault can be interrupted, %s', (profile) => {
  it.each(INTRUDERS)('$name', ({ run, results }) => {
    const seen = new Set<Errno>();
    let turns = 0;
    for (; ; turns++) {
      const scheduling = intrudeAfter('gpu', 'cpu', turns);
      const host = new Host({ profile, scheduling });
      const { driver } = setUp(host);
      const fault = host.machine.spawn(driver.fault(20), 'gpu');
      host.machine.spawn(run(host), 'cpu');
      host.machine.drain();
      seen.add(fault.result!);
      expectCoherent(host, driver);
      host.run(driver.locked(driver.collect()));
      expect(driver.tearDown()).toEqual([]);
      if (!scheduling.used) break;
    }
    expect(turns).toBeGreaterThan(6);
    expect([...seen].filter((err) => !results.includes(err))).toEqual([]);
  });
});

describe.each(PROFILES)('an event at every place inside drmGpusvmGetPages, %s', (profile) => {
  it.each(INTRUDERS)('$name: success with what is mapped now, or an error and nothing mapped', ({ run }) => {
    const outcomes = new Set<string>();
    for (let turns = 0; ; turns++) {
      const scheduling = intrudeAfter('gpu', 'cpu', turns);
      const host = new Host({ profile, scheduling });
      const { driver, range } = setUp(host);
      const call = host.machine.spawn(driver.getPages(range), 'gpu');
      host.machine.spawn(run(host), 'cpu');
      host.machine.drain();
      const { flags, addrs } = range.pages;
      const cpu = Array.from({ length: 16 }, (_, j) => host.mm.tryReadTag(16 + j));
      expect(readThrough(host.device, addrs)).toEqual(flags.hasDmaMapping ? cpu : []);
      expect(host.mappings.length > 0).toBe(flags.hasDmaMapping);
      outcomes.add(
        `${errnoName(call.result!)}${flags.hasDmaMapping ? ' mapped' : ''}${flags.unmapped ? ' unmapped' : ''}`,
      );
      expect(host.mm.users).toBe(1);
      expect(driver.tearDown()).toEqual([]);
      if (!scheduling.used) break;
    }
    // Mapped, invalidated since, or refused with nothing mapped; once unmapped by the CPU, never mapped.
    const known = ['0 mapped', '0', '0 unmapped', '-EFAULT unmapped', '-EFAULT', '-EPERM'];
    expect([...outcomes].filter((outcome) => !known.includes(outcome))).toEqual([]);
    expect(outcomes.has('0 mapped') || outcomes.has('0') || outcomes.has('0 unmapped')).toBe(true);
  });
});

describe('random interleavings', () => {
  it.each(PROFILES)(
    'of faults, CPU accesses and events leave the GPU with what the CPU has: %s',
    (profile) => {
      const retries: number[] = [];
      for (let seed = 1; seed <= 60; seed++) {
        const host = new Host({ profile, seed, scheduling: random() });
        const { driver } = setUp(host);
        const { mm, machine } = host;
        for (const page of [20, 21, 40]) machine.spawn(driver.fault(page, {}, 8), `gpu ${page}`);
        machine.spawn(
          (function* () {
            yield* mm.madviseDontneed(16, 8);
            yield* mm.cpuWrite(20, 5);
            yield* mm.munmap(44, 2);
          })(),
          'cpu 1',
        );
        machine.spawn(
          (function* () {
            yield* mm.mprotect(30, 4, { read: true, write: false });
            yield* mm.mprotect(30, 4, { read: true, write: true });
            yield* mm.cpuWrite(31, 6);
          })(),
          'cpu 2',
        );
        machine.drain();
        expectCoherent(host, driver);
        retries.push(host.count('gpusvm.getPagesRetry'));
        expect(driver.tearDown()).toEqual([]);
      }
      expect(Math.max(...retries)).toBeGreaterThan(0);
    },
  );

  it('of two callers on one pages object map it once (G8)', () => {
    let both = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const host = new Host({ seed, scheduling: random() });
      const { driver, range } = setUp(host);
      const calls = [1, 2, 3].map((n) => host.machine.spawn(driver.getPages(range), `gpu ${n}`));
      host.machine.drain();
      expect(calls.map((call) => call.result)).toEqual([0, 0, 0]);
      expect(host.count('gpusvm.pagesMapped')).toBe(16);
      expect(host.live('iova reservation')).toHaveLength(1);
      if (host.count('hmm.rangeFault') > 1) both++;
      expect(driver.tearDown()).toEqual([]);
    }
    expect(both).toBeGreaterThan(0);
  });

  it('of teardown and events leave nothing', () => {
    let during = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const host = new Host({ seed, scheduling: random() });
      const { driver } = setUp(host);
      const { mm, machine } = host;
      host.mmap(4096, 64);
      for (const page of [20, 40, 4100]) expect(host.run(driver.fault(page))).toBe(0);
      machine.spawn(driver.fini(), 'fini');
      machine.spawn(mm.madviseDontneed(16, 8), 'cpu 1');
      machine.spawn(mm.munmap(4096, 64), 'cpu 2');
      machine.spawn(mm.munmap(32, 16), 'cpu 3');
      machine.drain();
      if (driver.events.length > 0) during++;
      expect(driver.table.size).toBe(0);
      expect(driver.freed).toHaveLength(3);
      expect(
        host.live('gpusvm notifier', 'gpusvm range', 'interval notifier', 'gpusvm pages mapping'),
      ).toEqual([]);
      expect(host.tearDown()).toEqual([]);
    }
    expect(during).toBeGreaterThan(0);
  });
});
