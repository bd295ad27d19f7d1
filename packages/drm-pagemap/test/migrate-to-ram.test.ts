import { EFAULT, ENOMEM } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import { drmPagemapEvictToRam } from '../src/evict-to-ram.ts';
import { type FakeDevmem, type FakeGpu, Host } from './fake-gpu.ts';

const ALL = Array.from({ length: 16 }, (_, i) => 512 + i);

function written(): { host: Host; gpu: FakeGpu } {
  const host = new Host();
  const gpu = host.gpu();
  host.mmap(512, 16, ALL);
  return { host, gpu };
}

function sixteen(): { host: Host; gpu: FakeGpu; devmem: FakeDevmem } {
  const { host, gpu } = written();
  return { host, gpu, devmem: gpu.alloc(16)! };
}

function end(host: Host): void {
  host.tearDown();
  expect(host.machine.ledger.live()).toEqual([]);
}

describe('the time slice', () => {
  test.each([
    ['before it ends', -1, 16],
    ['at its end', 0, 0],
    ['after it', 1, 0],
  ])('a fault %s', (_when, aroundNs, pagesLeft) => {
    const { host, gpu, devmem } = sixteen();
    host.run(gpu.migrate(512, 528, { timesliceMs: 5 }, devmem));
    host.machine.clock.advanceTo(devmem.timesliceExpirationNs + aroundNs);
    gpu.copies.length = 0;
    const fault = {
      mm: host.mm,
      vma: host.mm.vmaLookup(512)!,
      page: 512,
      folio: host.mm.pfnAt(512),
      pmd: false,
    };
    host.folios.trylock(fault.folio);
    host.folios.get(fault.folio);
    host.run(
      (function* () {
        yield* host.mm.mmapLock.downRead();
        expect(yield* gpu.devPagemap.ops.migrateToRam(fault)).toBe(0);
        host.mm.mmapLock.upRead();
      })(),
    );
    host.folios.unlock(fault.folio);
    host.folios.put(fault.folio);
    expect(host.mm.devicePages).toBe(pagesLeft);
    expect(gpu.copies.length).toBe(16 - pagesLeft);
    end(host);
  });

  test('a CPU that touches a page gets it when the slice is over, not earlier', () => {
    const { host, gpu, devmem } = sixteen();
    host.run(gpu.migrate(512, 528, { timesliceMs: 1 }, devmem));
    expect(host.run(host.mm.cpuRead(515))).toBe(615);
    expect(host.machine.clock.nowNs).toBeGreaterThanOrEqual(devmem.timesliceExpirationNs);
    expect(host.machine.clock.nowNs).toBeLessThan(devmem.timesliceExpirationNs + 1e5);
    end(host);
  });
});

describe('the window of a CPU fault', () => {
  test('is the aligned size of the allocation, clipped to the VMA; other allocations in it stay', () => {
    const { host, gpu } = written();
    host.run(gpu.migrate(512, 516));
    host.run(gpu.migrate(516, 518));
    host.run(gpu.migrate(518, 520));
    host.run(host.mm.cpuRead(516));
    const where = ALL.slice(0, 8).map((page) => gpu.devPagemap.contains(host.mm.pfnAt(page)));
    expect(where).toEqual([true, true, true, true, false, false, true, true]);
    host.run(host.mm.cpuRead(513));
    expect(host.mm.devicePages).toBe(2);
    end(host);
  });

  test('pages of another allocation inside the window stay on the device', () => {
    const { host, gpu } = written();
    // Eight pages of one allocation, two of which were replaced by another allocation.
    host.run(gpu.migrate(512, 520));
    host.run(gpu.migrate(514, 516, { canMigrateSamePagemap: true }));
    host.run(host.mm.cpuRead(514));
    host.run(gpu.migrate(514, 516));
    host.run(host.mm.cpuRead(512));
    expect(gpu.devPagemap.contains(host.mm.pfnAt(514))).toBe(true);
    expect(ALL.map((page) => host.run(host.mm.cpuRead(page)))).toEqual(ALL.map((page) => page + 100));
    end(host);
  });

  test('an allocation larger than the rest of its VMA comes back as far as it is there', () => {
    const { host, gpu, devmem } = sixteen();
    host.run(gpu.migrate(512, 528, {}, devmem));
    host.run(host.mm.munmap(512, 3));
    host.run(host.mm.munmap(524, 4));
    expect(host.run(host.mm.cpuRead(520))).toBe(620);
    expect([host.mm.devicePages, devmem.released]).toEqual([0, true]);
    end(host);
  });
});

describe('errors', () => {
  test.each(['pagemap.alloc_arrays', 'pagemap.ram_folio', 'hmm.alloc_folio', 'fake.copy'])(
    'a failure of %s kills the access only; the page stays on the device with its content',
    (site) => {
      const { host, gpu, devmem } = sixteen();
      host.run(gpu.migrate(512, 528, {}, devmem));
      host.machine.faultInjection.failNth(site, 1);
      const resident = host.memory.freePages;
      expect(host.run(host.mm.cpuRead(512))).toBe(-EFAULT);
      expect([host.mm.devicePages, host.memory.freePages]).toEqual([16, resident]);
      expect(host.run(host.mm.cpuRead(512))).toBe(612);
      end(host);
    },
  );

  test('a failed eviction attempt is followed by another', () => {
    const { host, gpu, devmem } = sixteen();
    host.run(gpu.migrate(512, 528, {}, devmem));
    host.machine.faultInjection.failNth('fake.copy', 1);
    host.machine.faultInjection.failNth('fake.copy', 2);
    expect(host.run(drmPagemapEvictToRam(devmem))).toBe(0);
    expect(devmem.detached.isDone).toBe(true);
    end(host);
  });

  test('three failed attempts end in the last error, and nothing moved', () => {
    const { host, gpu, devmem } = sixteen();
    host.run(gpu.migrate(512, 528, {}, devmem));
    for (const nth of [1, 2, 3]) host.machine.faultInjection.failNth('pagemap.ram_folio', nth);
    expect(host.run(drmPagemapEvictToRam(devmem))).toBe(-ENOMEM);
    expect([host.mm.devicePages, devmem.detached.isDone]).toEqual([16, false]);
    end(host);
  });

  test('an address space that is gone is -EFAULT unless nothing is left to move', () => {
    const { host, gpu, devmem } = sixteen();
    host.run(gpu.migrate(512, 528, {}, devmem));
    host.mm.users--;
    expect(host.run(drmPagemapEvictToRam(devmem))).toBe(-EFAULT);
    host.mm.users++;
    host.run(host.mm.exit());
    expect(host.run(drmPagemapEvictToRam(devmem))).toBe(0);
    gpu.tearDown();
    expect(host.machine.ledger.live()).toEqual([]);
  });
});

describe('a 2M folio for which there is no large page in RAM', () => {
  function huge(profile: 'linux-7.2' | 'linux-7.3'): { host: Host; gpu: FakeGpu; devmem: FakeDevmem } {
    const host = new Host({ profile });
    const gpu = host.gpu();
    host.mmap(512, 512, [512, 700], true);
    const devmem = gpu.alloc(512)!;
    host.run(gpu.migrate(512, 1024, {}, devmem));
    return { host, gpu, devmem };
  }

  test('ends the access up to 7.2', () => {
    const { host } = huge('linux-7.2');
    host.machine.faultInjection.failNth('pagemap.ram_folio', 1);
    expect(host.run(host.mm.cpuRead(700))).toBe(-EFAULT);
    expect(host.mm.devicePages).toBe(512);
    end(host);
  });

  test('comes back as single pages from 7.3 on', () => {
    const { host, gpu } = huge('linux-7.3');
    host.machine.faultInjection.failNth('pagemap.ram_folio', 1);
    expect(host.run(host.mm.cpuRead(700))).toBe(800);
    expect(host.run(host.mm.cpuRead(512))).toBe(612);
    expect(host.machine.counters.snapshot().get('pagemap.fallbackOrder0')).toBe(1);
    expect(gpu.released.length).toBe(host.mm.devicePages === 0 ? 1 : 0);
    end(host);
  });

  test('is not evicted by single pages: the path without a VMA cannot split', () => {
    const { host, gpu, devmem } = huge('linux-7.3');
    for (const nth of [1, 2, 3]) host.machine.faultInjection.failNth('pagemap.ram_folio', nth);
    gpu.copies.length = 0;
    expect(host.run(drmPagemapEvictToRam(devmem))).toBe(-ENOMEM);
    expect(gpu.copies).toEqual([]);
    expect(host.run(drmPagemapEvictToRam(devmem))).toBe(0);
    expect(host.run(host.mm.cpuRead(700))).toBe(800);
    end(host);
  });
});
