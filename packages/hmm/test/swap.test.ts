import { EINVAL, ENOMEM, random, type KernelProfileName } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import { reclaimFolio, shrinkAnon } from '../src/index.ts';
import { audit } from './support/audit.ts';
import { Dmirror } from './support/dmirror.ts';
import { type Play, play as playWith } from './support/play.ts';
import { block, entries, forked, Listener, MEASURED, RO, RW, THP, World } from './support/world.ts';

const P = block(8);

function play(profile: KernelProfileName, body: Play, swapPages = 2048): void {
  playWith(profile, body, swapPages);
}

describe.each(MEASURED)('swap on %s', (profile) => {
  test('goes out with one CLEAR a page, frees the memory, and comes back writable with its contents', () => {
    play(profile, function* (w) {
      const ear = new Listener();
      yield* ear.open(w.mm);
      yield* w.map(P, 3, RW, 10);
      ear.take();
      const free = w.memory.freePages;
      expect(yield* w.mm.madvisePageout(P, 3)).toBe(0);
      expect(ear.take()).toEqual([0, 1, 2].map((i) => `CLEAR ${P + i}..${P + i + 1}`));
      expect(entries(w.mm, P, 3)).toEqual(['swap', 'swap', 'swap']);
      expect([w.memory.freePages - free, w.folios.swap.used]).toEqual([3, 3]);
      expect(yield* w.mm.cpuRead(P + 1)).toBe(11);
      expect(entries(w.mm, P, 3)).toEqual(['swap', 'present:w', 'swap']);
      expect(ear.take()).toEqual([]);
      yield* ear.close();
    });
  });

  test('P20: a swapped page is none to a snapshot, does not migrate, and comes back for a device read', () => {
    play(profile, function* (w, dev) {
      yield* w.map(P, 2, RW, 10);
      yield* w.mm.madvisePageout(P, 2);
      expect(yield* dev.snapshot(P, 2)).toEqual(['none', 'none']);
      expect(yield* dev.toDev(P, 1)).toBeLessThan(0);
      expect(entries(w.mm, P, 1)).toEqual(['swap']);
      expect(yield* dev.read(P, 2)).toEqual([10, 11]);
      expect(dev.faults).toBe(1);
      expect(yield* dev.snapshot(P, 2)).toEqual(['W', 'W']);
      expect(w.folios.swap.used).toBe(2);
      expect(yield* dev.toDev(P, 2)).toBe(0);
      expect(w.folios.swap.used).toBe(0);
      expect(yield* w.mm.cpuRead(P + 1)).toBe(11);
    });
  });

  test('fork counts the slot for both and the first write of either gives it a page of its own', () => {
    play(profile, function* (w) {
      yield* w.map(P, 1, RW, 10);
      yield* w.mm.madvisePageout(P, 1);
      const child = yield* forked(w.mm);
      const slot = w.mm.pfnAt(P);
      expect(w.folios.swap.count(slot)).toBe(2);
      expect(yield* child.cpuWrite(P, 20)).toBe(0);
      expect(yield* w.mm.cpuRead(P)).toBe(10);
      expect(yield* child.cpuRead(P)).toBe(20);
      expect(w.folios.swap.count(slot)).toBe(0);
      expect(yield* w.mm.cpuWrite(P, 30)).toBe(0);
      expect(yield* child.cpuRead(P)).toBe(20);
    });
  });

  test('a THP goes out whole and comes back page by page', () => {
    play(profile, function* (w) {
      yield* w.map(P, 512, THP, 100);
      yield* w.mm.madvisePageout(P, 512);
      expect(new Set(entries(w.mm, P, 512))).toEqual(new Set(['swap']));
      expect(w.mm.pfnAt(P + 9) - w.mm.pfnAt(P)).toBe(9);
      for (let i = 0; i < 512; i += 7) expect(yield* w.mm.cpuRead(P + i)).toBe(100 + i);
    });
  });

  test('MADV_PAGEOUT of a part of a THP splits it', () => {
    play(profile, function* (w) {
      yield* w.map(P, 512, THP, 100);
      yield* w.mm.madvisePageout(P + 10, 2);
      expect(entries(w.mm, P + 9, 4)).toEqual(['present:w', 'swap', 'swap', 'present:w']);
      expect(w.mm.isPmdMapped(P)).toBe(false);
      expect(yield* w.mm.cpuRead(P + 11)).toBe(111);
    });
  });

  test('mprotect, mremap, munmap and DONTNEED do the right thing to a slot', () => {
    play(profile, function* (w) {
      yield* w.map(P, 4, RW, 10);
      yield* w.mm.madvisePageout(P, 4);
      yield* w.mm.mprotect(P, 1, RO);
      expect(yield* w.mm.cpuRead(P)).toBe(10);
      expect(entries(w.mm, P, 1)).toEqual(['present']);
      yield* w.mm.mremap(P + 1, 1, 1, { newPage: block(20) });
      expect(yield* w.mm.cpuRead(block(20))).toBe(11);
      yield* w.mm.munmap(P + 2, 1);
      yield* w.mm.madviseDontneed(P + 3, 1);
      expect(yield* w.mm.cpuRead(P + 3)).toBe(0);
      // What a read brought back keeps its slot until the page is written or migrates.
      expect(w.folios.swap.used).toBe(2);
    });
  });

  test('keeps what is pinned, locked in memory, isolated, device memory, shared or without a slot', () => {
    play(profile, function* (w, dev) {
      yield* w.map(P, 5, RW, 10);
      w.folios.pin(w.mm.pfnAt(P));
      yield* w.mm.mlock(P + 1, 1);
      expect(w.folios.isolateLru(w.mm.pfnAt(P + 2))).toBe(true);
      expect(yield* dev.toDev(P + 3, 1)).toBe(0);
      yield* w.map(P + 8, 1, RW, 1);
      const child = yield* forked(w.mm);
      expect(yield* w.mm.madvisePageout(P + 8, 1)).toBe(0);
      expect(yield* w.mm.madvisePageout(P, 1)).toBe(0);
      expect(yield* w.mm.madvisePageout(P + 1, 1)).toBe(-EINVAL);
      expect(yield* w.mm.madvisePageout(P + 2, 3)).toBe(0);
      expect(w.folios.swap.used).toBe(0);
      w.folios.unpin(w.mm.pfnAt(P));
      w.folios.putbackLru(w.mm.pfnAt(P + 2));
      expect(yield* reclaimFolio(w.folios, w.mm.pfnAt(P + 4))).toBe(true);
      expect([entries(w.mm, P + 4, 1), entries(child, P + 4, 1)]).toEqual([['swap'], ['swap']]);
      expect(yield* w.mm.cpuRead(P + 4)).toBe(14);
      expect(yield* child.cpuRead(P + 4)).toBe(14);
      expect(child.pfnAt(P + 4)).toBe(w.mm.pfnAt(P + 4));
    });
    play(
      profile,
      function* (w) {
        yield* w.map(P, 2, RW, 10);
        expect(yield* w.mm.madvisePageout(P, 2)).toBe(0);
        expect(entries(w.mm, P, 2)).toEqual(['swap', 'present:w']);
      },
      1,
    );
  });

  test('a file goes to its file, shared anonymous memory to swap, and both come back', () => {
    play(profile, function* (w) {
      yield* w.map(P, 1, { ...RW, file: true, shared: true }, 5);
      yield* w.map(P + 8, 1, { ...RW, shared: true }, 6);
      yield* w.mm.madvisePageout(P, 1);
      yield* w.mm.madvisePageout(P + 8, 1);
      expect([entries(w.mm, P, 1), entries(w.mm, P + 8, 1)]).toEqual([['none'], ['none']]);
      expect(w.folios.swap.used).toBe(1);
      expect(yield* w.mm.cpuRead(P)).toBe(5);
      expect(yield* w.mm.cpuRead(P + 8)).toBe(6);
      expect(w.folios.swap.used).toBe(0);
    });
  });

  test('reclaim of the whole machine goes round and frees what it is asked for', () => {
    play(profile, function* (w) {
      yield* w.map(P, 64, RW, 10);
      expect(yield* shrinkAnon(w.folios, 10)).toBe(10);
      expect(w.mm.entryCounts().swap).toBe(10);
      expect(yield* shrinkAnon(w.folios, 1000)).toBe(54);
      for (let i = 0; i < 64; i++) expect(yield* w.mm.cpuRead(P + i)).toBe(10 + i);
    });
  });

  test('without memory for the way back the access fails and nothing is lost', () => {
    play(profile, function* (w) {
      yield* w.map(P, 1, RW, 10);
      yield* w.mm.madvisePageout(P, 1);
      w.machine.faultInjection.failNth('hmm.alloc_folio', 1);
      expect(yield* w.mm.cpuRead(P)).toBe(-ENOMEM);
      expect(yield* w.mm.cpuRead(P)).toBe(10);
    });
  });

  test('out against in, fork, exit and device reads under random schedules keeps contents and counts', () => {
    for (let seed = 1; seed <= 80; seed++) {
      const w = new World({ profile, seed, strategy: random(), pages: 2048 });
      w.folios.swap.on(64);
      const dev = new Dmirror(w.mm, 1024);
      w.run(
        (function* () {
          yield* dev.open();
          yield* w.map(P, 4, RW, 10);
        })(),
      );
      w.machine.spawn(w.mm.madvisePageout(P, 4), 'pageout');
      w.machine.spawn(shrinkAnon(w.folios, 4), 'reclaim');
      w.machine.spawn(
        (function* () {
          const child = yield* forked(w.mm);
          for (let i = 3; i >= 0; i--) expect(yield* child.cpuRead(P + i)).toBe(10 + i);
          yield* child.exit();
        })(),
        'child',
      );
      w.machine.spawn(
        (function* () {
          expect(yield* dev.read(P, 4)).toEqual([10, 11, 12, 13]);
        })(),
        'device',
      );
      w.machine.drain();
      expect(dev.stale(), `seed ${seed}`).toEqual([]);
      expect(audit(w.folios), `seed ${seed}`).toEqual([]);
      w.run(
        (function* () {
          for (let i = 0; i < 4; i++) expect(yield* w.mm.cpuRead(P + i)).toBe(10 + i);
          yield* dev.close();
          yield* w.mm.exit();
        })(),
      );
      expect(w.machine.ledger.live(), `seed ${seed}`).toEqual([]);
    }
  });
});
