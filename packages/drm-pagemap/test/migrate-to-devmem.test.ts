import {
  DmaFence,
  EBUSY,
  EFAULT,
  EINVAL,
  EIO,
  ENOENT,
  ENOMEM,
  EOPNOTSUPP,
  KERNEL_PROFILES,
} from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import { drmPagemapPopulateMm } from '../src/pagemap.ts';
import { drmPagemapPageToDpagemap, drmPagemapPageZdd } from '../src/zdd.ts';
import { type FakeDevmem, type FakeGpu, Host } from './fake-gpu.ts';

const WRITTEN = [512, 513, 515, 518];

/** 16 pages of anonymous memory at page 512, four of them written. */
function sixteen(o: ConstructorParameters<typeof Host>[0] = {}): { host: Host; gpu: FakeGpu } {
  const host = new Host(o);
  const gpu = host.gpu();
  host.mmap(512, 16, WRITTEN);
  return { host, gpu };
}

function content(host: Host, pages: readonly number[]): number[] {
  return pages.map((page) => host.run(host.mm.cpuRead(page)));
}

/** RAM holds the process' data as if nothing had been tried. */
function untouched(host: Host, gpu: FakeGpu): void {
  expect(host.mm.devicePages).toBe(0);
  expect(host.mm.residentPages).toBe(WRITTEN.length);
  expect(gpu.buddy.freePages).toBe(gpu.buddy.pages);
  expect(gpu.released.length).toBe(1);
  expect(content(host, WRITTEN)).toEqual(WRITTEN.map((page) => page + 100));
  host.tearDown();
  expect(host.machine.ledger.live()).toEqual([]);
}

describe('the step table, row by row', () => {
  test.each(['populateDevmemPfn', 'copyToDevmem', 'copyToRam'] as const)(
    'without %s it is -EOPNOTSUPP, and the allocation is released all the same',
    (missing) => {
      const { host, gpu } = sixteen();
      const ops = gpu.devmemOps as {
        -readonly [K in keyof typeof gpu.devmemOps]?: (typeof gpu.devmemOps)[K];
      };
      delete ops[missing];
      expect(host.run(gpu.migrate(512, 528))).toBe(-EOPNOTSUPP);
      untouched(host, gpu);
    },
  );

  test.each([
    ['no VMA at the start', 256, 272, -ENOENT],
    ['a range beyond the VMA', 520, 536, -EINVAL],
  ])('%s', (_what, start, end, err) => {
    const { host, gpu } = sixteen();
    expect(host.run(gpu.migrate(start, end))).toBe(err);
    untouched(host, gpu);
  });

  test('a file mapping is -EBUSY', () => {
    const { host, gpu } = sixteen();
    host.run(host.mm.mmap(1024, 16, { read: true, write: true, file: true }));
    expect(host.run(gpu.migrate(1024, 1040))).toBe(-EBUSY);
    untouched(host, gpu);
  });

  test.each(['pagemap.alloc_arrays', 'pagemap.zdd'])('no memory at %s is -ENOMEM', (site) => {
    const { host, gpu } = sixteen();
    host.machine.faultInjection.failNth(site, 1);
    expect(host.run(gpu.migrate(512, 528))).toBe(-ENOMEM);
    untouched(host, gpu);
  });

  test('one pinned page keeps all pages where they are', () => {
    const { host, gpu } = sixteen();
    const pfn = host.mm.pfnAt(513);
    host.folios.pin(pfn);
    expect(host.run(gpu.migrate(512, 528))).toBe(-EBUSY);
    expect(host.run(gpu.migrate(513, 514))).toBe(-EBUSY);
    host.folios.unpin(pfn);
    expect(gpu.copies).toEqual([]);
    gpu.released.pop();
    untouched(host, gpu);
  });

  test.each([
    ['the driver cannot name its pages', 'fake.populate', -EIO],
    ['a copy fails half-way', 'fake.copy', -EIO],
  ])('%s', (_what, site, err) => {
    const { host, gpu } = sixteen();
    host.machine.faultInjection.failNth(site, 1);
    expect(host.run(gpu.migrate(512, 528))).toBe(err);
    untouched(host, gpu);
  });

  test('a failure of any step, the mapping of each page included, leaves all as it was', () => {
    const seen = new Set<number>();
    for (let k = 1; ; k++) {
      const { host, gpu } = sixteen({ strategy: 'map-page' });
      host.machine.faultInjection.failAnyNth(k);
      const err = host.run(gpu.migrate(512, 528));
      const fired = host.machine.faultInjection.anyNth === 0;
      host.machine.faultInjection.reset();
      seen.add(err);
      if (!fired) break;
      if (err === 0 || gpu.released.length === 0) host.tearDown();
      else untouched(host, gpu);
      expect(host.machine.ledger.live()).toEqual([]);
    }
    expect(seen).toContain(-EFAULT);
    expect(seen).toContain(-ENOMEM);
    expect(seen).toContain(0);
  });

  test('moves pages and holes, gives holes cleared memory, and starts the time slice', () => {
    const { host, gpu } = sixteen();
    const devmem = gpu.alloc(16)!;
    expect(host.run(gpu.migrate(512, 528, { timesliceMs: 5 }, devmem))).toBe(0);
    expect([host.mm.devicePages, host.mm.residentPages]).toEqual([16, 0]);
    expect(devmem.timesliceExpirationNs).toBe(host.machine.clock.nowNs + 5e6);
    for (let page = 512; page < 528; page++) {
      const pfn = host.mm.pfnAt(page);
      expect(gpu.tag(pfn)).toBe(WRITTEN.includes(page) ? page + 100 : 0);
      expect(drmPagemapPageToDpagemap(host.folios, pfn)).toBe(gpu.pagemap);
      expect(drmPagemapPageZdd(host.folios, pfn).devmem).toBe(devmem);
    }
    expect(gpu.device.domain!.mappedPages).toBe(0);
    expect(host.machine.counters.snapshot().get('pagemap.pagesToDevmem')).toBe(16);
    host.machine.clock.advance(6e6);
    expect(content(host, WRITTEN)).toEqual(WRITTEN.map((page) => page + 100));
    host.tearDown();
    expect(gpu.released).toEqual([devmem]);
    expect(gpu.destroyed).toBe(1);
    expect(host.machine.ledger.live()).toEqual([]);
  });

  test('pages that are there already are 0, without a copy, and the new allocation goes back', () => {
    const { host, gpu } = sixteen();
    host.run(gpu.migrate(512, 528));
    gpu.copies.length = 0;
    expect(host.run(gpu.migrate(512, 528))).toBe(0);
    expect(gpu.copies).toEqual([]);
    expect(gpu.released.length).toBe(1);
    expect(host.mm.devicePages).toBe(16);
    host.tearDown();
    expect(host.machine.ledger.live()).toEqual([]);
  });

  test('a range that is there in part is -EBUSY, or moved when that is allowed', () => {
    const { host, gpu } = sixteen();
    host.run(gpu.migrate(512, 516));
    expect(host.run(gpu.migrate(512, 528))).toBe(-EBUSY);
    expect(host.mm.devicePages).toBe(4);
    expect(host.run(gpu.migrate(512, 528, { canMigrateSamePagemap: true }))).toBe(0);
    expect(host.mm.devicePages).toBe(16);
    expect(gpu.livePeerMappings).toBe(0);
    expect(content(host, WRITTEN)).toEqual(WRITTEN.map((page) => page + 100));
    host.tearDown();
    expect(host.machine.ledger.live()).toEqual([]);
  });

  test('the fence of the memory is waited for, consumed on success and kept on error', () => {
    const { host, gpu } = sixteen();
    const fence = new DmaFence(host.machine, 'clear');
    const devmem = gpu.alloc(16, fence)!;
    const handle = host.machine.spawn(gpu.migrate(512, 528, {}, devmem), 'migrate');
    host.machine.spawn(
      (function* () {
        yield { kind: 'sleep' as const, ns: 1000 };
        expect(gpu.copies).toEqual([]);
        fence.signal();
      })(),
      'clear',
    );
    host.machine.drain();
    expect(handle.result).toBe(0);
    expect(devmem.preMigrateFence).toBe(null);
    host.tearDown();
    expect(host.machine.ledger.live()).toEqual([]);
  });
});

describe('device THP', () => {
  test('a 2M folio moves whole, in one piece, and comes back whole', () => {
    const host = new Host();
    const gpu = host.gpu();
    host.mmap(512, 512, [512, 700], true);
    expect(host.folios.order(host.mm.pfnAt(512))).toBe(9);
    expect(host.run(gpu.migrate(512, 1024))).toBe(0);
    const head = host.mm.pfnAt(512);
    expect([host.folios.order(head), host.mm.isPmdMapped(600), host.mm.devicePages]).toEqual([9, true, 512]);
    expect(drmPagemapPageZdd(host.folios, head).folios).toBe(1);
    expect(host.machine.counters.snapshot().get('dma.callLink')).toBe(1);
    expect(content(host, [700, 512, 513])).toEqual([800, 612, 0]);
    expect([host.folios.order(host.mm.pfnAt(512)), host.mm.devicePages]).toEqual([9, 0]);
    expect(gpu.released.length).toBe(1);
    host.tearDown();
    expect(host.machine.ledger.live()).toEqual([]);
  });

  test('a 2M hole becomes one device folio, and that is a success', () => {
    const host = new Host();
    const gpu = host.gpu();
    host.mmap(512, 512, [], true);
    expect(host.run(gpu.migrate(512, 1024))).toBe(0);
    expect([host.folios.order(host.mm.pfnAt(512)), host.mm.devicePages]).toEqual([9, 512]);
    expect(host.machine.counters.snapshot().get('pagemap.pagesToDevmem')).toBe(512);
    host.tearDown();
    expect(host.machine.ledger.live()).toEqual([]);
  });

  test('a kernel without it moves single pages', () => {
    const base = KERNEL_PROFILES['linux-7.3'];
    const host = new Host({ profile: { ...base, hmm: { ...base.hmm, deviceThp: false } } });
    const gpu = host.gpu();
    host.mmap(512, 512, [512, 700]);
    expect(host.run(gpu.migrate(512, 1024))).toBe(0);
    expect([host.folios.order(host.mm.pfnAt(512)), host.mm.devicePages]).toEqual([0, 512]);
    expect(content(host, [512, 700])).toEqual([612, 800]);
    host.tearDown();
    expect(host.machine.ledger.live()).toEqual([]);
  });

  test('a split folio keeps its allocation until the last page is gone, whatever the order', () => {
    for (let seed = 1; seed <= 4; seed++) {
      const host = new Host({ seed });
      const gpu = host.gpu();
      host.mmap(512, 512, [512, 700], true);
      const devmem: FakeDevmem = gpu.alloc(512)!;
      host.run(gpu.migrate(512, 1024, {}, devmem));
      const zdd = drmPagemapPageZdd(host.folios, host.mm.pfnAt(512));
      const pages = Array.from({ length: 512 }, (_, i) => 512 + i);
      for (let left = 512; left > 0; left--) {
        const page = pages.splice(host.machine.choose(left), 1)[0]!;
        expect(devmem.detached.isDone).toBe(false);
        host.run(host.mm.munmap(page, 1));
        const split = left > 1 && host.folios.order(host.mm.pfnAt(pages[0]!)) === 0;
        expect(zdd.folios).toBe(split ? left - 1 : zdd.folios);
      }
      expect([zdd.folios, zdd.refcount, devmem.detached.isDone, devmem.released]).toEqual([0, 0, true, true]);
      host.tearDown();
      expect(host.machine.ledger.live()).toEqual([]);
    }
  });
});

test('drmPagemapPopulateMm takes the mmap lock, and refuses an address space that is gone', () => {
  const { host, gpu } = sixteen();
  expect(host.run(drmPagemapPopulateMm(gpu.pagemap, 512, 528, host.mm, 0))).toBe(0);
  expect(host.mm.devicePages).toBe(16);
  host.run(host.mm.exit());
  expect(host.run(drmPagemapPopulateMm(gpu.pagemap, 512, 528, host.mm, 0))).toBe(-EFAULT);
  gpu.tearDown();
  expect(host.machine.ledger.live()).toEqual([]);
});

test('without the mmap lock it is refused', () => {
  const { host, gpu } = sixteen();
  host.mm.mmapLock.downRead = function* () {};
  host.mm.mmapLock.upRead = () => {};
  expect(() => host.run(gpu.migrate(512, 528))).toThrow(/must be held/);
});
