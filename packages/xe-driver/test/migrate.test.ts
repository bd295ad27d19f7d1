import {
  DMA_BIDIRECTIONAL,
  DMA_MAPPING_ERROR,
  DmaDevice,
  dmaMapPage,
  dmaUnmapPage,
  type IommuMode,
  TagMemory,
} from '@gpusvm/dma-iova';
import {
  DmaFence,
  EINVAL,
  EIO,
  ENOMEM,
  type Errno,
  Machine,
  random,
  type SchedulerStrategy,
  type Task,
} from '@gpusvm/kernel';
import { expect, test } from 'vitest';
import { XE_TIMING } from '../src/config.ts';
import { xeCounters } from '../src/counters.ts';
import { XeMigrate } from '../src/migrate.ts';
import { PtPool } from '../src/pt.ts';
import type { DmaEntries } from '../src/res-cursor.ts';
import { VramRegion } from '../src/vram.ts';

interface Bench {
  readonly machine: Machine;
  readonly memory: TagMemory;
  readonly device: DmaDevice;
  readonly vram: VramRegion;
  readonly pool: PtPool;
  readonly migrate: XeMigrate;
}

function bench(iommu: IommuMode, strategy?: SchedulerStrategy): Bench {
  const machine = new Machine(strategy === undefined ? {} : { strategy });
  const memory = new TagMemory(machine, { pages: 8192 });
  const device = new DmaDevice(machine, memory, { name: 'gpu0', iommu, swiotlbSegmentBytes: 2 ** 21 });
  const counters = xeCounters(machine);
  const pool = new PtPool(machine, counters);
  const vram = new VramRegion(2048 + 300);
  return {
    machine,
    memory,
    device,
    vram,
    pool,
    migrate: new XeMigrate(machine, device, pool, vram, counters, XE_TIMING),
  };
}

interface Mapped {
  readonly entries: DmaEntries;
  readonly pfns: readonly number[];
}

/** Allocate and map blocks of the given orders, each at its slot. */
function map(b: Bench, orders: readonly number[]): Mapped {
  const slots = orders.reduce((sum, order) => sum + 2 ** order, 0);
  const entries = {
    addr: new Float64Array(slots),
    order: new Uint8Array(slots),
    proto: new Uint8Array(slots),
  };
  const pfns: number[] = [];
  let slot = 0;
  for (const order of orders) {
    const pfn = b.memory.allocPages(order);
    entries.addr[slot] = dmaMapPage(b.device, pfn, 0, 4096 * 2 ** order, DMA_BIDIRECTIONAL, 0);
    expect(entries.addr[slot]).not.toBe(DMA_MAPPING_ERROR);
    entries.order[slot] = order;
    for (let k = 0; k < 2 ** order; k++) pfns.push(pfn + k);
    slot += 2 ** order;
  }
  return { entries, pfns };
}

function unmap(b: Bench, { entries, pfns }: Mapped): void {
  for (let i = 0; i < pfns.length; i += 2 ** entries.order[i]!) {
    const order = entries.order[i]!;
    dmaUnmapPage(b.device, entries.addr[i]!, 4096 * 2 ** order, DMA_BIDIRECTIONAL, 0);
    b.memory.freePagesBlock(pfns[i]!, order);
  }
}

function copy(
  b: Bench,
  m: Mapped,
  offset: number,
  toVram: boolean,
  dependency: DmaFence | null = null,
): Errno {
  return b.machine.run(
    (function* (): Task<Errno> {
      const fence = b.migrate.copy(
        m.entries,
        0,
        m.pfns.length,
        b.vram.dpaBaseFrame + offset,
        toVram,
        dependency,
      );
      return typeof fence === 'number' ? fence : yield* fence.wait();
    })(),
  );
}

function end(b: Bench): void {
  b.machine.run(b.migrate.destroy());
  b.device.destroy();
  expect(b.machine.ledger.live()).toEqual([]);
}

for (const iommu of ['none', 'strict', 'lazy'] as const) {
  test(`scattered pages of mixed orders reach device memory and come back, iommu ${iommu}`, () => {
    const b = bench(iommu);
    const m = map(b, [0, 3, 0, 0, 2, 5]);
    m.pfns.forEach((pfn, i) => b.memory.writeTag(pfn, 100 + i));
    expect(copy(b, m, 17, true)).toBe(0);
    expect(m.pfns.map((_, i) => b.vram.readTag(b.vram.dpaBaseFrame + 17 + i))).toEqual(
      m.pfns.map((_, i) => 100 + i),
    );
    expect(b.vram.readTag(b.vram.dpaBaseFrame + 16)).toBe(0);
    expect(b.vram.readTag(b.vram.dpaBaseFrame + 17 + m.pfns.length)).toBe(0);
    for (const pfn of m.pfns) b.memory.writeTag(pfn, 0);
    expect(copy(b, m, 17, false)).toBe(0);
    expect(m.pfns.map((pfn) => b.memory.readTag(pfn))).toEqual(m.pfns.map((_, i) => 100 + i));
    unmap(b, m);
    end(b);
  });
}

test('2M entries are used if and only if every step has order 9', () => {
  const b = bench('none');
  const counters = xeCounters(b.machine);
  const huge = map(b, [9, 9]);
  expect(copy(b, huge, 0, true)).toBe(0);
  expect(counters.get('copyEntries')).toBe(2);
  const mixed = map(b, [9, ...Array.from({ length: 512 }, () => 0)]);
  mixed.pfns.forEach((pfn, i) => b.memory.writeTag(pfn, 7 + i));
  expect(copy(b, mixed, 1024, true)).toBe(0);
  expect(counters.get('copyEntries')).toBe(2 + 1024);
  expect(b.vram.readTag(b.vram.dpaBaseFrame + 1024 + 1000)).toBe(1007);
  unmap(b, huge);
  unmap(b, mixed);
  end(b);
});

test('the tail of device memory behind the last 2M is in the identity map', () => {
  const b = bench('none');
  const m = map(b, [0]);
  b.memory.writeTag(m.pfns[0]!, 5);
  expect(copy(b, m, 2048 + 299, true)).toBe(0);
  expect(b.vram.readTag(b.vram.dpaBaseFrame + 2048 + 299)).toBe(5);
  unmap(b, m);
  end(b);
});

test('an address without an IOMMU translation fails the job and is counted as a DMA fault', () => {
  const b = bench('strict');
  const m = map(b, [0, 0]);
  b.memory.writeTag(m.pfns[0]!, 5);
  const stale = { entries: { ...m.entries, addr: Float64Array.from(m.entries.addr) }, pfns: m.pfns };
  stale.entries.addr[1] = 0x7000_0000;
  expect(copy(b, stale, 0, true)).toBe(-EIO);
  expect(copy(b, stale, 0, false)).toBe(-EIO);
  unmap(b, m);
  end(b);
});

test('an entry that is a hole, unaligned or device memory is refused before anything is queued', () => {
  const b = bench('none');
  const counters = xeCounters(b.machine);
  const one = (addr: number, proto: number): Mapped => ({
    entries: { addr: Float64Array.of(addr), order: Uint8Array.of(0), proto: Uint8Array.of(proto) },
    pfns: [1],
  });
  expect(copy(b, one(0, 0), 0, true)).toBe(-EINVAL);
  expect(copy(b, one(4097, 0), 0, true)).toBe(-EINVAL);
  expect(copy(b, one(4096, 1), 0, true)).toBe(-EINVAL);
  expect(() => b.migrate.copy(one(4096, 0).entries, 0, 2049, 0, true, null)).toThrow(RangeError);
  expect(counters.get('copyJobs')).toBe(0);
  end(b);
});

test('a job that cannot be made is -ENOMEM and moves nothing', () => {
  const b = bench('none');
  const m = map(b, [0]);
  b.memory.writeTag(m.pfns[0]!, 5);
  b.machine.faultInjection.failNth('xe.migrate_job', 1);
  expect(copy(b, m, 0, true)).toBe(-ENOMEM);
  expect(b.vram.readTag(b.vram.dpaBaseFrame)).toBe(0);
  unmap(b, m);
  end(b);
});

test('a job waits for its dependency, and jobs run in order', () => {
  const b = bench('none', random());
  const m = map(b, [0]);
  const before = new DmaFence(b.machine, 'before');
  b.memory.writeTag(m.pfns[0]!, 5);
  const frame = b.vram.dpaBaseFrame;
  const first = b.migrate.copy(m.entries, 0, 1, frame, true, before);
  const second = b.migrate.clear(frame + 1, 4);
  if (typeof first === 'number' || typeof second === 'number') throw new Error('no job');
  b.machine.spawn(
    (function* (): Task<void> {
      yield { kind: 'sleep', ns: 1000 };
      expect([first.signalled, second.signalled, b.vram.readTag(frame)]).toEqual([false, false, 0]);
      before.signal();
    })(),
    'dependency',
  );
  expect(b.machine.run(second.wait())).toBe(0);
  expect([first.signalled, b.vram.readTag(frame)]).toEqual([true, 5]);
  unmap(b, m);
  end(b);
});

test('the failed dependency of a job is the error of the job, and nothing is moved', () => {
  const b = bench('none');
  const m = map(b, [0]);
  b.memory.writeTag(m.pfns[0]!, 5);
  const before = new DmaFence(b.machine, 'before');
  const fence = b.migrate.copy(m.entries, 0, 1, b.vram.dpaBaseFrame, true, before);
  before.signal(-EIO);
  if (typeof fence === 'number') throw new Error('no job');
  expect(b.machine.run(fence.wait())).toBe(-EIO);
  expect(b.vram.readTag(b.vram.dpaBaseFrame)).toBe(0);
  unmap(b, m);
  end(b);
});

test('a clear zeroes exactly its pages, across 2M and 1G leaves of the identity map', () => {
  const b = bench('none');
  const frame = b.vram.dpaBaseFrame;
  for (let i = 0; i < b.vram.pages; i++) b.vram.writeTag(frame + i, 1);
  b.migrate.clear(frame + 500, 1700);
  const left = Array.from({ length: b.vram.pages }, (_, i) => b.vram.readTag(frame + i));
  expect(left.map((tag, i) => (tag === 0 ? i : -1)).filter((i) => i >= 0)).toEqual(
    Array.from({ length: 1700 }, (_, k) => 500 + k),
  );
  end(b);
});

test('virtual time is the job overhead plus bytes over bandwidth, which depends on the entries', () => {
  const b = bench('none');
  const small = map(
    b,
    Array.from({ length: 512 }, () => 0),
  );
  copy(b, small, 0, true);
  const smallNs = b.machine.clock.nowNs;
  expect(smallNs).toBeCloseTo(10_000 + 2 ** 21 / 9.4, 3);
  const huge = map(b, [9]);
  copy(b, huge, 0, true);
  expect(b.machine.clock.nowNs - smallNs).toBeCloseTo(10_000 + 2 ** 21 / 19.8, 3);
  unmap(b, small);
  unmap(b, huge);
  end(b);
});
