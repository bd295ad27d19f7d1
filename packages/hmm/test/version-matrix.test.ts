import { DMA_ATTR_REQUIRE_COHERENT, DmaDevice } from '@gpusvm/dma-iova';
import {
  done,
  EFAULT,
  EINVAL,
  ENOMEM,
  EOPNOTSUPP,
  EPERM,
  KERNEL_PROFILES,
  type KernelProfileName,
  type Task,
} from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import {
  FOLIO_SPLIT,
  HMM_PFN_VALID,
  HmmDmaMap,
  hmmDmaMapAlloc,
  hmmDmaMapPfn,
  MmuIntervalNotifier,
  mmuIntervalNotifierInsert,
  mmuIntervalNotifierRemove,
  oomReap,
} from '../src/index.ts';
import { Dmirror } from './support/dmirror.ts';
import { block, exitAll, Listener, RW, THP, World } from './support/world.ts';

const P = block(8);
const ALL = Object.keys(KERNEL_PROFILES) as KernelProfileName[];
const since = (first: KernelProfileName): readonly KernelProfileName[] => ALL.slice(ALL.indexOf(first));

function play(profile: KernelProfileName, body: (w: World, dev: Dmirror, ear: Listener) => Task<void>): void {
  const w = new World({ profile });
  const dev = new Dmirror(w.mm);
  const ear = new Listener();
  w.run(
    (function* () {
      yield* dev.open();
      yield* ear.open(w.mm);
      yield* body(w, dev, ear);
      yield* ear.close();
      yield* dev.close();
      yield* exitAll(w.folios);
    })(),
  );
  expect(w.machine.ledger.live()).toEqual([]);
}

/** One row of the version matrix: what it takes to see the feature, and the kernels that have it. */
describe.each(ALL)('the version matrix on %s', (profile) => {
  const has = (kernels: readonly KernelProfileName[]): boolean => kernels.includes(profile);

  test('hmm_dma_map exists since 6.16, and asks for coherence since 7.3', () => {
    const w = new World({ profile });
    const dev = new DmaDevice(w.machine, w.memory, { name: 'nic', iommu: 'strict' });
    const map = new HmmDmaMap();
    expect(hmmDmaMapAlloc(dev, map, 8, 4096)).toBe(has(since('linux-7.0')) ? 0 : -EOPNOTSUPP);
    if (!has(since('linux-7.0'))) return;
    const attrs: number[] = [];
    // The device looks its tracepoints up by name.
    w.machine.trace.onAll(({ name, event }) => {
      if (name === 'dma_iova_link') attrs.push((event as { attrs: number }).attrs);
    });
    map.pfns.pfn[0] = 5;
    map.pfns.flags[0] = HMM_PFN_VALID;
    hmmDmaMapPfn(dev, map, 0);
    expect(attrs).toEqual([has(since('linux-7.3')) ? DMA_ATTR_REQUIRE_COHERENT : 0]);
  });

  test('device memory is mapped by PMDs and split by the callback since 6.19', () => {
    play(profile, function* (w, dev) {
      yield* w.map(P, 512, THP, 100);
      expect(yield* dev.toDev(P, 512)).toBe(0);
      expect(w.mm.isPmdMapped(P)).toBe(has(since('linux-7.0')));
      const splits: number[] = [];
      w.machine.trace.on(FOLIO_SPLIT, ({ err }) => splits.push(err));
      expect(yield* dev.migrateToSys(P + 5, 1)).toBe(0);
      expect(splits).toEqual(has(since('linux-7.0')) ? [0] : []);
      expect([yield* w.mm.cpuRead(P + 4), yield* w.mm.cpuRead(P + 5)]).toEqual([104, 105]);
    });
  });

  test('a CPU fault waits for a busy device folio since 7.0, for PTE entries only', () => {
    for (const huge of [false, true]) {
      if (huge && !has(since('linux-7.0'))) continue;
      play(profile, function* (w, dev) {
        yield* w.map(P, 512, huge ? THP : RW, 100);
        expect(yield* dev.toDev(P, 512)).toBe(0);
        const head = w.folios.head(w.mm.pfnAt(P));
        w.folios.trylock(head);
        w.folios.get(head);
        const reader = w.machine.spawn(w.mm.cpuRead(P), 'reader');
        yield { kind: 'sleep', ns: 100_000 };
        const waits = !huge && has(since('linux-7.0'));
        expect(reader.state === 'blocked').toBe(waits);
        const faults = w.machine.counters.snapshot().get('hmm.cpuFault')!;
        yield { kind: 'sleep', ns: 100_000 };
        expect(w.machine.counters.snapshot().get('hmm.cpuFault')! > faults).toBe(!waits);
        w.folios.unlock(head);
        w.folios.put(head);
        while (!reader.ended) yield { kind: 'sleep', ns: 10_000 };
        expect(reader.result).toBe(100);
      });
    }
  });

  test('interval notifiers have two passes since 7.3', () => {
    play(profile, function* (w) {
      const called: string[] = [];
      const sub = new MmuIntervalNotifier();
      yield* mmuIntervalNotifierInsert(sub, w.mm, P, 8, {
        invalidate: () => done(called.push('one') > 0),
        invalidateStart: () => done(called.push('first') > 0),
        invalidateFinish: () => done(undefined),
      });
      yield* w.map(P, 1, RW, 1);
      yield* w.mm.madviseDontneed(P, 1);
      expect(called).toEqual([has(since('linux-7.3')) ? 'first' : 'one']);
      yield* mmuIntervalNotifierRemove(sub);
    });
  });

  test('the unlocked fault exists since 7.3', () => {
    expect(KERNEL_PROFILES[profile].hmm.unlockedFault).toBe(has(since('linux-7.3')));
  });

  test('the end of exclusivity is EXCLUSIVE in 6.12 and CLEAR in 7.3', () => {
    play(profile, function* (w, dev, ear) {
      yield* w.map(P, 1, RW, 1);
      expect(yield* dev.file.exclusive(P, 1)).toBe(0);
      ear.take();
      yield* w.mm.cpuRead(P);
      expect(ear.take()).toEqual([`${profile === 'linux-6.12' ? 'EXCLUSIVE' : 'CLEAR'} ${P}..${P + 1}`]);
    });
  });

  test('the OOM reaper says UNMAP in 6.12 and CLEAR in 7.3', () => {
    play(profile, function* (w, _dev, ear) {
      yield* w.map(P, 1, RW, 1);
      ear.take();
      yield* oomReap(w.mm);
      expect(ear.take()).toEqual([`${profile === 'linux-6.12' ? 'UNMAP' : 'CLEAR'} ${P}..${P + 1}`]);
    });
  });

  test('a collapse faults device pages in, in every kernel; 6.12 wants a writable page beside them', () => {
    play(profile, function* (w, dev) {
      yield* w.map(P, 512, RW, 100);
      expect(yield* dev.toDev(P, 32)).toBe(0);
      expect(yield* w.mm.madviseCollapse(P, 512)).toBe(0);
      expect([w.mm.devicePages, yield* w.mm.cpuRead(P)]).toEqual([0, 100]);
      yield* w.mm.munmap(P, 512);
      yield* w.map(P, 512, RW, 100);
      yield* w.mm.mprotect(P, 512, { read: true, write: false });
      expect(yield* w.mm.madviseCollapse(P, 512)).toBe(profile === 'linux-6.12' ? -EINVAL : 0);
    });
  });

  test('guard regions exist since 6.13', () => {
    play(profile, function* (w) {
      yield* w.map(P, 1, RW);
      expect(yield* w.mm.madviseGuard(P, 1, true)).toBe(profile === 'linux-6.12' ? -EINVAL : 0);
    });
  });

  test('a device fault without memory is EFAULT in 6.12 and ENOMEM later', () => {
    play(profile, function* (w, dev) {
      yield* w.map(P, 1, RW);
      w.machine.faultInjection.failNth('hmm.alloc_folio', 1);
      expect(yield* dev.write(P, 1, 1)).toBe(profile === 'linux-6.12' ? -EFAULT : -ENOMEM);
    });
  });

  test.each([RW, THP])(
    'own device pages that are read-only come back without WRITE, in every Linux (F1)',
    (vma) => {
      play(profile, function* (w, dev) {
        yield* w.map(P, 512, vma, 1);
        expect(yield* dev.toDev(P, 512)).toBe(0);
        yield* w.mm.mprotect(P, 512, { read: true, write: false });
        expect(yield* dev.write(P, 1, 2)).toBe(profile === 'next' ? -EPERM : -EFAULT);
        yield* w.mm.mprotect(P, 512, RW);
        expect(yield* dev.write(P, 1, 2)).toBe(profile === 'next' ? 0 : -EFAULT);
        expect(yield* w.mm.cpuRead(P)).toBe(profile === 'next' ? 2 : 1);
      });
    },
  );

  test('the vvar mapping has pages in 7.3, which a device cannot fault in', () => {
    const pfnmap = profile === 'linux-6.12';
    expect(KERNEL_PROFILES[profile].hmm.vvarMapping).toBe(pfnmap ? 'pfnmap' : 'mixedmap');
    play(profile, function* (w, dev) {
      yield* w.mm.mmap(P, 1, { read: true, write: false, mixedmap: true, ownFaultsOnly: true });
      expect(yield* dev.read(P, 1)).toBe(-EFAULT);
      expect(yield* dev.write(P, 1, 2)).toBe(-EPERM);
      yield* w.mm.cpuRead(P);
      expect(yield* dev.read(P, 1)).toHaveLength(1);
    });
  });
});
