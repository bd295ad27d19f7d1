import { EAGAIN, EFAULT, EINVAL, ENOMEM, type KernelProfileName, type Task } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import { changeProtNuma, khugepaged, memoryFailure, oomReap } from '../src/index.ts';
import { audit } from './support/audit.ts';
import { Dmirror } from './support/dmirror.ts';
import {
  block,
  entries,
  exitAll,
  forked,
  Listener,
  MEASURED,
  NONE,
  RO,
  RW,
  THP,
  World,
} from './support/world.ts';

const P = block(8);

function play(
  profile: KernelProfileName,
  body: (w: World, dev: Dmirror, ear: Listener) => Task<void>,
  left: string[] = [],
): void {
  const w = new World({ profile });
  w.folios.swap.on(2048);
  const dev = new Dmirror(w.mm);
  const ear = new Listener();
  w.run(
    (function* () {
      yield* dev.open();
      yield* ear.open(w.mm);
      yield* body(w, dev, ear);
      expect(audit(w.folios)).toEqual([]);
      yield* ear.close();
      yield* dev.close();
      yield* exitAll(w.folios);
    })(),
  );
  expect(w.live()).toEqual(left);
}

describe.each(MEASURED)('MADV_FREE on %s', (profile) => {
  test('drops clean pages without swap, keeps those written again, and sends CLEAR', () => {
    play(profile, function* (w, _dev, ear) {
      yield* w.map(P, 3, RW, 10);
      ear.take();
      expect(yield* w.mm.madviseFree(P, 3)).toBe(0);
      expect(ear.take()).toEqual([`CLEAR ${P}..${P + 3}`]);
      expect(yield* w.mm.cpuRead(P)).toBe(10);
      expect(yield* w.mm.cpuWrite(P + 1, 99)).toBe(0);
      yield* w.mm.madvisePageout(P, 3);
      expect(entries(w.mm, P, 3)).toEqual(['none', 'present:w', 'none']);
      expect(w.folios.swap.used).toBe(0);
      yield* w.mm.madvisePageout(P + 1, 1);
      expect([yield* w.mm.cpuRead(P), yield* w.mm.cpuRead(P + 1)]).toEqual([0, 99]);
    });
  });

  test('P23: a freed page migrates with its contents', () => {
    play(profile, function* (w, dev) {
      yield* w.map(P, 1, RW, 10);
      yield* w.mm.madviseFree(P, 1);
      expect(yield* dev.toDev(P, 1)).toBe(0);
      expect(yield* w.mm.cpuRead(P)).toBe(10);
    });
  });

  test('frees swap slots, skips device and shared pages, and does nothing to a device THP', () => {
    play(profile, function* (w, dev) {
      yield* w.map(P, 3, RW, 10);
      yield* w.mm.madvisePageout(P, 1);
      expect(yield* dev.toDev(P + 1, 1)).toBe(0);
      const child = yield* forked(w.mm);
      expect(yield* w.mm.madviseFree(P, 3)).toBe(0);
      expect(entries(w.mm, P, 3)).toEqual(['none', 'device-private', 'present']);
      yield* child.exit();
      yield* w.map(P + 512, 512, THP, 100);
      expect(yield* dev.toDev(P + 512, 512)).toBe(0);
      expect(yield* w.mm.madviseFree(P + 512, 512)).toBe(0);
      yield* w.mm.madvisePageout(P + 512, 512);
      for (let i = 0; i < 512; i += 50) expect(yield* w.mm.cpuRead(P + 512 + i)).toBe(100 + i);
    });
  });

  test('of a part of a THP splits it; refuses other memory', () => {
    play(profile, function* (w) {
      yield* w.map(P, 512, THP, 100);
      expect(yield* w.mm.madviseFree(P + 4, 2)).toBe(0);
      yield* w.mm.madvisePageout(P, 8);
      expect(entries(w.mm, P + 3, 4)).toEqual(['swap', 'none', 'none', 'swap']);
      yield* w.map(P + 1024, 1, { ...RW, shared: true });
      expect(yield* w.mm.madviseFree(P + 1024, 1)).toBe(-EINVAL);
      expect(yield* w.mm.madviseFree(P + 1024, 2)).toBe(-EINVAL);
      expect(yield* w.mm.madviseFree(P + 510, 4)).toBe(-ENOMEM);
      expect(yield* w.mm.madviseFree(P, 0)).toBe(-EINVAL);
    });
  });

  test('MADV_COLD splits a THP that it covers partly and changes nothing else', () => {
    play(profile, function* (w) {
      yield* w.map(P, 512, THP, 100);
      expect(yield* w.mm.madviseCold(P, 512)).toBe(0);
      expect(w.mm.isPmdMapped(P)).toBe(true);
      expect(yield* w.mm.madviseCold(P, 7)).toBe(0);
      expect([w.mm.isPmdMapped(P), w.folios.order(w.mm.pfnAt(P))]).toEqual([false, 0]);
      expect(yield* w.mm.cpuRead(P + 3)).toBe(103);
    });
  });
});

describe.each(MEASURED)('MADV_COLLAPSE on %s', (profile) => {
  test('makes one folio of single pages, holes included, and sends CLEAR for the whole 2 MiB', () => {
    play(profile, function* (w, dev, ear) {
      yield* w.map(P, 512, RW);
      for (let i = 0; i < 512; i += 2) yield* w.mm.cpuWrite(P + i, 100 + i);
      ear.take();
      expect(yield* w.mm.madviseCollapse(P, 512)).toBe(0);
      expect(ear.take()).toEqual([`CLEAR ${P}..${P + 512}`]);
      expect((yield* dev.snapshot(P, 1))[0]).toBe('W+PMD');
      expect([yield* w.mm.cpuRead(P + 2), yield* w.mm.cpuRead(P + 3)]).toEqual([102, 0]);
      expect(yield* w.mm.madviseCollapse(P, 512)).toBe(0);
    });
  });

  test('brings swapped and device pages back first', () => {
    play(profile, function* (w, dev) {
      yield* w.map(P, 512, RW, 100);
      yield* w.mm.madvisePageout(P, 10);
      expect(yield* dev.toDev(P + 20, 20)).toBe(0);
      expect(yield* w.mm.madviseCollapse(P, 512)).toBe(0);
      expect(w.mm.isPmdMapped(P)).toBe(true);
      for (let i = 0; i < 512; i++) expect(yield* w.mm.cpuRead(P + i)).toBe(100 + i);
    });
  });

  test('khugepaged stops at 64 pages that are not present, device pages counted', () => {
    play(profile, function* (w, dev) {
      yield* w.map(P, 512, RW, 100);
      expect(yield* dev.toDev(P, 65)).toBe(0);
      expect(yield* khugepaged(w.mm)).toBe(0);
      yield* w.mm.madviseHugepage(P, 512, true);
      expect(yield* khugepaged(w.mm)).toBe(0);
      expect(yield* w.mm.cpuRead(P)).toBe(100);
      expect(yield* khugepaged(w.mm)).toBe(1);
      expect(w.mm.isPmdMapped(P)).toBe(true);
    });
  });

  test('of read-only pages needs a writable one in 6.12 and none in 7.3', () => {
    play(profile, function* (w) {
      yield* w.map(P, 512, RW, 100);
      yield* w.mm.mprotect(P, 512, RO);
      expect(yield* w.mm.madviseCollapse(P, 512)).toBe(profile === 'linux-6.12' ? -EINVAL : 0);
      expect(w.mm.isWritable(P)).toBe(false);
      expect(yield* w.mm.cpuRead(P + 7)).toBe(107);
    });
  });

  test('fails where a page is pinned, isolated or locked, where nothing is, and where the advice forbids it', () => {
    play(profile, function* (w, dev) {
      yield* w.map(P, 1024, RW, 100);
      const pfn = w.mm.pfnAt(P + 3);
      w.folios.pin(pfn);
      expect(yield* w.mm.madviseCollapse(P, 512)).toBe(-EAGAIN);
      w.folios.unpin(pfn);
      expect(w.folios.isolateLru(pfn)).toBe(true);
      expect(yield* w.mm.madviseCollapse(P, 512)).toBe(-EAGAIN);
      w.folios.putbackLru(pfn);
      w.folios.trylock(pfn);
      expect(yield* w.mm.madviseCollapse(P, 512)).toBe(-EAGAIN);
      w.folios.unlock(pfn);
      w.machine.faultInjection.failNth('hmm.alloc_folio', 1);
      expect(yield* w.mm.madviseCollapse(P, 512)).toBe(-ENOMEM);
      yield* w.mm.madviseHugepage(P + 512, 512, false);
      expect(yield* w.mm.madviseCollapse(P + 512, 512)).toBe(-EINVAL);
      yield* w.map(block(20), 512, RW);
      expect(yield* w.mm.madviseCollapse(block(20), 512)).toBe(-EINVAL);
      yield* w.map(block(21), 512, THP, 100);
      expect(yield* dev.toDev(block(21), 512)).toBe(0);
      const whole = profile === 'linux-7.3';
      // A device PMD is no candidate; 512 single device pages lack the writable page that 6.12 wants.
      expect(yield* w.mm.madviseCollapse(block(21), 512)).toBe(-EINVAL);
      expect((yield* dev.snapshot(block(21), 1))[0]).toBe(whole ? 'DEV:W+PMD' : 'DEV:W');
    });
  });

  test('of fork-shared pages gives the collapsing process its own folio', () => {
    play(profile, function* (w) {
      yield* w.map(P, 512, RW, 100);
      const child = yield* forked(w.mm);
      yield* w.mm.cpuWrite(P, 7);
      expect(yield* w.mm.madviseCollapse(P, 512)).toBe(0);
      expect(yield* w.mm.cpuWrite(P + 1, 8)).toBe(0);
      expect([yield* child.cpuRead(P), yield* child.cpuRead(P + 1)]).toEqual([100, 101]);
    });
  });
});

describe.each(MEASURED)('guard regions on %s', (profile) => {
  test('exist since 6.13: drop what was there, fault for everybody, survive DONTNEED and fork', () => {
    play(profile, function* (w, dev, ear) {
      yield* w.map(P, 4, RW, 10);
      ear.take();
      if (profile === 'linux-6.12') {
        expect(yield* w.mm.madviseGuard(P, 1, true)).toBe(-EINVAL);
        return;
      }
      expect(yield* w.mm.madviseGuard(P + 1, 2, true)).toBe(0);
      expect(ear.take()).toEqual([`CLEAR ${P + 1}..${P + 3}`]);
      expect(entries(w.mm, P, 4)).toEqual(['present:w', 'marker', 'marker', 'present:w']);
      expect(yield* w.mm.cpuRead(P + 1)).toBe(-EFAULT);
      expect(yield* dev.read(P, 4)).toBe(-EFAULT);
      expect(yield* dev.snapshot(P, 4)).toEqual(['W', 'none', 'none', 'W']);
      expect(yield* w.mm.madviseDontneed(P, 4)).toBe(0);
      const child = yield* forked(w.mm);
      expect(yield* child.cpuRead(P + 2)).toBe(-EFAULT);
      expect(yield* w.mm.madviseGuard(P, 4, false)).toBe(0);
      expect(yield* w.mm.cpuRead(P + 1)).toBe(0);
      expect(yield* w.mm.madviseGuard(P + 1, 4, true)).toBe(-ENOMEM);
      expect(yield* child.cpuRead(P + 1)).toBe(-EFAULT);
    });
  });
});

describe.each(MEASURED)('other changes of entries on %s', (profile) => {
  test('a NUMA hint is protnone: no access until a fault, not valid for a snapshot, sent as PROTECTION_VMA', () => {
    play(profile, function* (w, dev, ear) {
      yield* w.map(P, 2, RW, 10);
      yield* w.map(P + 512, 512, THP, 100);
      ear.take();
      expect(yield* changeProtNuma(w.mm, P, P + 1024)).toBe(514);
      expect(ear.take()).toEqual([`PROTECTION_VMA ${P}..${P + 2}`, `PROTECTION_VMA ${P + 512}..${P + 1024}`]);
      expect(yield* dev.snapshot(P, 1)).toEqual(['none']);
      expect(w.mm.tryReadTag(P)).toBe(-1);
      expect(yield* w.mm.cpuRead(P)).toBe(10);
      expect(yield* dev.read(P + 600, 1)).toEqual([188]);
      expect(yield* dev.snapshot(P, 2)).toEqual(['W', 'none']);
      expect((yield* dev.snapshot(P + 512, 1))[0]).toBe('W+PMD');
    });
  });

  test('a memory error takes the page from everybody and never gives it back', () => {
    play(
      profile,
      function* (w, dev, ear) {
        yield* w.map(P, 512, THP, 100);
        const child = yield* forked(w.mm);
        ear.take();
        expect(yield* memoryFailure(w.folios, w.mm.pfnAt(P + 5))).toBe(0);
        expect(ear.take()).toEqual([`CLEAR ${P}..${P + 512}`, `CLEAR ${P + 5}..${P + 6}`]);
        expect([yield* w.mm.cpuRead(P + 5), yield* child.cpuRead(P + 5)]).toEqual([-EFAULT, -EFAULT]);
        expect(yield* dev.read(P + 5, 1)).toBe(-EFAULT);
        expect(yield* dev.snapshot(P + 4, 3)).toEqual(['R', 'none', 'R']);
        expect(yield* w.mm.cpuRead(P + 6)).toBe(106);
        expect(w.folios.retiredPages).toBe(1);
        yield* w.mm.madviseDontneed(P + 5, 1);
        expect(yield* w.mm.cpuRead(P + 5)).toBe(0);
        expect(yield* memoryFailure(w.folios, 1)).toBe(-EINVAL);
      },
      ['physical page: 1'],
    );
  });

  test('the OOM reaper zaps with a non-blockable event, leaves VMAs whose callback refuses, and ends all faults', () => {
    play(profile, function* (w, dev, ear) {
      yield* w.map(P, 2, RW, 10);
      yield* w.map(P + 8, 1, { ...RW, shared: true }, 5);
      yield* dev.toDev(P, 1);
      ear.take();
      expect(yield* oomReap(w.mm)).toBe(true);
      expect(ear.take()).toEqual([`${profile === 'linux-6.12' ? 'UNMAP' : 'CLEAR'} ${P}..${P + 2}`]);
      expect(entries(w.mm, P, 2)).toEqual(['none', 'none']);
      expect(yield* w.mm.cpuRead(P)).toBe(-EFAULT);
      expect(yield* dev.read(P, 1)).toBe(-EFAULT);
      expect(yield* dev.toDev(P, 1)).toBeLessThan(0);
      expect(yield* w.mm.cpuRead(P + 8)).toBe(5);
      yield* w.mm.mmapLock.downWrite();
      expect(yield* oomReap(w.mm)).toBe(false);
      w.mm.mmapLock.upWrite();
    });
  });

  test('P17: mlock populates, and locked pages migrate and refuse DONTNEED', () => {
    play(profile, function* (w, dev) {
      yield* w.map(P, 4, RW);
      expect(yield* w.mm.mlock(P, 2)).toBe(0);
      expect(entries(w.mm, P, 4)).toEqual(['present:w', 'present:w', 'none', 'none']);
      expect(yield* w.mm.madviseDontneed(P, 4)).toBe(-EINVAL);
      expect(yield* dev.toDev(P, 2)).toBe(0);
      expect(yield* w.mm.mlock(P, 2, false)).toBe(0);
      expect(w.mm.vmas.size).toBe(profile === 'linux-6.12' ? 2 : 1);
      expect(yield* w.mm.mlock(P, 9)).toBe(-ENOMEM);
      yield* w.map(P + 16, 1, NONE);
      expect(yield* w.mm.mlock(P + 16, 1)).toBe(0);
    });
  });

  test('mprotect of a part of a hugetlb page is refused and changes nothing', () => {
    play(profile, function* (w) {
      yield* w.map(P, 512, { ...RW, hugetlb: true }, 1);
      expect(yield* w.mm.mprotect(P, 100, RO)).toBe(-EINVAL);
      expect([w.mm.isWritable(P), w.mm.vmas.size]).toEqual([true, 1]);
      expect(yield* w.mm.mprotect(P, 512, RO)).toBe(0);
      expect(w.mm.isWritable(P)).toBe(false);
    });
  });
});
