import { DmaDevice } from '@gpusvm/dma-iova';
import { EFAULT, EINVAL, EPERM, type KernelProfileName, random, type Task } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import { UmemOdp, type UmemUnmap } from '../src/umem-odp/index.ts';
import { audit } from './support/audit.ts';
import { block, exitAll, forked, RO, RW, World } from './support/world.ts';

const P = block(8);

class Rdma extends World {
  readonly dev: DmaDevice;

  constructor(o: { profile?: KernelProfileName; seed?: number; preempt?: boolean } = {}) {
    super({
      profile: o.profile ?? 'linux-7.3',
      seed: o.seed ?? 1,
      ...(o.preempt === true ? { strategy: random() } : {}),
    });
    this.dev = new DmaDevice(this.machine, this.memory, { name: 'nic', iommu: 'strict' });
    this.folios.swap.on(64);
  }

  *region(pages: number, unmap: UmemUnmap = 'per-page', pageShift = 12): Task<UmemOdp> {
    const umem = new UmemOdp({ mm: this.mm, dev: this.dev, startPage: P, pages, unmap, pageShift });
    expect(yield* umem.open()).toBe(0);
    return umem;
  }

  count(name: string): number {
    return this.machine.counters.snapshot().get(`dma.${name}`)!;
  }
}

function play(w: Rdma, body: () => Task<void>): void {
  w.run(
    (function* () {
      yield* body();
      expect(audit(w.folios)).toEqual([]);
      yield* exitAll(w.folios);
    })(),
  );
  w.dev.destroy();
  expect(w.machine.ledger.live()).toEqual([]);
}

for (const profile of ['linux-7.0', 'linux-7.3'] as const) {
  describe(`on-demand paging on ${profile}`, () => {
    test('the device faults, reads and writes; what it wrote is dirty and survives swap', () => {
      const w = new Rdma({ profile });
      play(w, function* () {
        yield* w.map(P, 8, RW, 10);
        const umem = yield* w.region(8);
        expect(umem.deviceRead(P)).toBe(-1);
        expect(yield* umem.fault(P, 8, false)).toBe(8);
        expect(umem.deviceRead(P + 7)).toBe(17);
        expect(yield* umem.fault(P, 1, true)).toBe(1);
        expect(umem.deviceWrite(P, 99)).toBe(true);
        yield* w.mm.madvisePageout(P, 8);
        expect([umem.table.size, w.mm.entryCounts().swap]).toEqual([0, 8]);
        expect(yield* umem.fault(P, 8, false)).toBe(8);
        expect([umem.deviceRead(P), umem.deviceRead(P + 1)]).toEqual([99, 11]);
        yield* umem.close();
      });
    });

    test('fork takes the write permission; the next fault copies, the child keeps the old page', () => {
      const w = new Rdma({ profile });
      play(w, function* () {
        yield* w.map(P, 1, RW, 5);
        const umem = yield* w.region(1);
        yield* umem.fault(P, 1, true);
        const child = yield* forked(w.mm);
        expect(umem.deviceWrite(P, 6)).toBe(false);
        expect(yield* umem.fault(P, 1, true)).toBe(1);
        expect(umem.deviceWrite(P, 6)).toBe(true);
        expect([yield* child.cpuRead(P), yield* w.mm.cpuRead(P)]).toEqual([5, 6]);
        yield* umem.close();
      });
    });

    test('refuses what lies outside, read-only memory for writing, holes of the address space and dead processes', () => {
      const w = new Rdma({ profile });
      w.run(
        (function* () {
          yield* w.map(P, 2, RO);
          const umem = yield* w.region(4);
          expect(yield* umem.fault(P, 5, false)).toBe(-EFAULT);
          expect(yield* umem.fault(P, 1, true)).toBe(-EPERM);
          expect(yield* umem.fault(P, 4, false)).toBe(-EFAULT);
          expect(umem.table.size).toBe(0);
          yield* w.mm.exit();
          expect(yield* umem.fault(P, 1, false)).toBe(-EINVAL);
          yield* umem.close();
        })(),
      );
      w.dev.destroy();
      expect(w.machine.ledger.live()).toEqual([]);
    });
  });
}

test('a virtual device has no DMA and works all the same', () => {
  const w = new Rdma();
  play(w, function* () {
    yield* w.map(P, 4, RW, 10);
    const umem = new UmemOdp({ mm: w.mm, dev: null, startPage: P, pages: 4 });
    expect(yield* umem.open()).toBe(0);
    expect(yield* umem.fault(P, 4, true)).toBe(4);
    expect(umem.deviceWrite(P + 1, 99)).toBe(true);
    expect([umem.deviceRead(P + 2), yield* w.mm.cpuRead(P + 1)]).toEqual([12, 99]);
    yield* w.mm.madvisePageout(P, 2);
    expect([umem.deviceRead(P), umem.deviceWrite(P, 1), umem.deviceRead(P + 3)]).toEqual([-1, false, 13]);
    yield* umem.close();
    expect([w.count('callMap'), w.count('callLink')]).toEqual([0, 0]);
  });
});

test('entries of 2 MiB need a mapping of that order', () => {
  const w = new Rdma();
  play(w, function* () {
    yield* w.map(P, 512, { ...RW, hugetlb: true }, 100);
    const umem = yield* w.region(512, 'per-page', 21);
    expect(yield* umem.fault(P, 512, true)).toBe(1);
    expect([umem.deviceRead(P), umem.deviceRead(P + 511)]).toEqual([100, 611]);
    yield* umem.close();
    // Two huge pages: entry 1 is the second of them, not the second 4K page (bug ODP1 of the kernel).
    yield* w.map(P + 512, 512, { ...RW, hugetlb: true }, 2000);
    const two = yield* w.region(1024, 'per-page', 21);
    expect(yield* two.fault(P + 700, 1, true)).toBe(1);
    expect([two.deviceRead(P), two.deviceRead(P + 512), two.deviceRead(P + 1023)]).toEqual([-1, 2000, 2511]);
    expect(yield* two.fault(P, 1024, false)).toBe(2);
    expect(two.deviceWrite(P + 1, 5)).toBe(true);
    yield* w.mm.munmap(P + 512, 512);
    expect([two.deviceRead(P + 1), two.deviceRead(P + 600), yield* w.mm.cpuRead(P + 1)]).toEqual([5, -1, 5]);
    yield* two.close();
    yield* w.mm.munmap(P, 512);
    yield* w.map(P, 512, RW, 100);
    const small = yield* w.region(512, 'per-page', 21);
    expect(yield* small.fault(P, 512, true)).toBe(-EINVAL);
    yield* small.close();
  });
});

test('the debate: an invalidation of 256 pages costs 256 flushes page by page and one in a single shot', () => {
  const flushes: number[] = [];
  for (const unmap of ['per-page', 'single-shot'] as const) {
    const w = new Rdma();
    play(w, function* () {
      yield* w.map(P, 256, RW, 10);
      const umem = yield* w.region(256, unmap);
      expect(yield* umem.fault(P, 256, true)).toBe(256);
      expect(w.count('callSync')).toBe(256);
      const before = w.count('callUnlink');
      yield* w.mm.madviseDontneed(P + 10, 200);
      flushes.push(w.count('callUnlink') - before);
      expect([umem.deviceRead(P + 9), umem.deviceRead(P + 10), umem.deviceRead(P + 210)]).toEqual([
        19, -1, 220,
      ]);
      expect(yield* umem.fault(P, 256, false)).toBe(256);
      expect(umem.deviceRead(P + 10)).toBe(0);
      yield* umem.close();
    });
  }
  expect(flushes).toEqual([200, 1]);
});

test('under random schedules the device never reads a page that the process gave up', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const w = new Rdma({ seed, preempt: true });
    let umem!: UmemOdp;
    w.run(
      (function* () {
        yield* w.map(P, 4, RW, 10);
        umem = yield* w.region(4, seed % 2 === 0 ? 'single-shot' : 'per-page');
      })(),
    );
    w.machine.spawn(
      (function* () {
        expect(yield* umem.fault(P, 4, seed % 3 === 0)).toBe(4);
      })(),
      'fault',
    );
    w.machine.spawn(w.mm.madvisePageout(P, 2), 'pageout');
    w.machine.spawn(
      (function* () {
        expect(yield* w.mm.cpuWrite(P + 3, 50)).toBe(0);
      })(),
      'write',
    );
    w.machine.drain();
    for (const page of umem.table.keys()) {
      expect(umem.deviceRead(page), `seed ${seed}`).toBe(w.mm.tryReadTag(page));
    }
    w.run(
      (function* () {
        yield* umem.close();
        yield* w.mm.exit();
      })(),
    );
    w.dev.destroy();
    expect(w.machine.ledger.live(), `seed ${seed}`).toEqual([]);
  }
});
