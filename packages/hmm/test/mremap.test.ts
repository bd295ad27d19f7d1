import { EFAULT, EINVAL, ENOENT, ENOMEM, random } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import { audit } from './support/audit.ts';
import { Dmirror } from './support/dmirror.ts';
import { play } from './support/play.ts';
import { block, forked, Listener, MEASURED, RW, THP, World } from './support/world.ts';

const P = block(8);
const Q = block(20);

describe.each(MEASURED)('mremap on %s', (profile) => {
  test('moves pages with their contents and sends UNMAP for the old range, twice', () => {
    play(profile, function* (w) {
      const ear = new Listener();
      yield* ear.open(w.mm);
      yield* w.map(P, 4, RW, 10);
      const pfn = w.mm.pfnAt(P);
      ear.take();
      expect(yield* w.mm.mremap(P, 4, 4, { newPage: Q })).toBe(Q);
      expect(ear.take()).toEqual([`UNMAP ${P}..${P + 4}`, `UNMAP ${P}..${P + 4}`]);
      expect([w.mm.pfnAt(Q), yield* w.mm.cpuRead(Q + 3), yield* w.mm.cpuRead(P)]).toEqual([pfn, 13, -EFAULT]);
      yield* ear.close();
    });
  });

  test('P11b: a device page is at the new address with its value, the old one is gone', () => {
    play(profile, function* (w, dev) {
      yield* w.map(P, 1, RW, 3);
      expect(yield* dev.toDev(P, 1)).toBe(0);
      expect(yield* w.mm.mremap(P, 1, 1, { newPage: Q })).toBe(Q);
      expect(yield* dev.snapshot(Q, 1)).toEqual(['DEV:W']);
      expect(yield* dev.snapshot(P, 1)).toEqual(['ERROR']);
      expect(yield* w.mm.cpuRead(Q)).toBe(3);
    });
  });

  test('T06: a device THP moves whole to an aligned address and comes back whole, or page by page', () => {
    play(profile, function* (w, dev) {
      const whole = profile === 'linux-7.3';
      yield* w.map(P, 512, THP, 100);
      expect(yield* dev.toDev(P, 512)).toBe(0);
      expect(yield* w.mm.mremap(P, 512, 512, { newPage: Q })).toBe(Q);
      expect(new Set(yield* dev.snapshot(Q, 512))).toEqual(new Set([whole ? 'DEV:W+PMD' : 'DEV:W']));
      expect(new Set(yield* dev.snapshot(P, 512))).toEqual(new Set(['ERROR']));
      expect(yield* w.mm.cpuRead(Q + 4)).toBe(104);
      const words = yield* dev.snapshot(Q, 512);
      expect([words[4], words[5]]).toEqual(whole ? ['W+PMD', 'W+PMD'] : ['W', 'DEV:W']);
    });
  });

  for (const thp of [false, true]) {
    for (const dontUnmap of [false, true]) {
      for (const offset of [0, 128, 256]) {
        for (const before of [false, true]) {
          const when = before ? 'before' : 'after';
          test(`migrate_remap_fault: ${thp ? 'THP' : 'small'}, dontunmap ${dontUnmap}, target at ${offset}, moved ${when} migration`, () => {
            play(profile, function* (w, dev) {
              const ear = new Listener();
              yield* ear.open(w.mm);
              yield* w.map(P, 512, thp ? THP : RW, 100);
              if (!before) expect(yield* dev.toDev(P, 512)).toBe(0);
              ear.take();
              expect(yield* w.mm.mremap(P, 512, 512, { newPage: Q + offset, dontUnmap })).toBe(Q + offset);
              const split = w.mm.machine.profile.hmm.deviceThp || before ? thp && offset !== 0 : false;
              expect(ear.take()).toEqual([
                `UNMAP ${P}..${P + 512}`,
                ...(split ? [`CLEAR ${P}..${P + 512}`] : []),
                ...(dontUnmap ? [] : [`UNMAP ${P}..${P + 512}`]),
              ]);
              // 6.12 does not split a large folio that it meets through page-table entries (T21).
              const refused = !w.mm.machine.profile.hmm.deviceThp && thp && offset !== 0;
              if (before) expect(yield* dev.toDev(Q + offset, 512)).toBe(refused ? -ENOENT : 0);
              for (let i = 0; i < 512; i++) expect(yield* w.mm.cpuRead(Q + offset + i)).toBe(100 + i);
              expect(yield* w.mm.cpuRead(P + 3)).toBe(dontUnmap ? 0 : -EFAULT);
              yield* ear.close();
            });
          });
        }
      }
    }
  }

  test('grows in place where there is room, moves where there is none and it may, shrinks by unmapping', () => {
    play(profile, function* (w) {
      yield* w.map(P, 4, RW, 10);
      yield* w.map(P + 8, 1, RW, 1);
      expect(yield* w.mm.mremap(P, 4, 6)).toBe(P);
      expect(yield* w.mm.cpuWrite(P + 5, 2)).toBe(0);
      expect(yield* w.mm.mremap(P, 6, 16)).toBe(-ENOMEM);
      const at = yield* w.mm.mremap(P, 6, 16, { mayMove: true });
      expect(at).toBeGreaterThan(P + 8);
      expect([
        yield* w.mm.cpuRead(at + 3),
        yield* w.mm.cpuRead(at + 5),
        yield* w.mm.cpuRead(at + 15),
      ]).toEqual([13, 2, 0]);
      expect(yield* w.mm.mremap(at, 16, 4)).toBe(at);
      expect(yield* w.mm.cpuRead(at + 4)).toBe(-EFAULT);
      expect(yield* w.mm.cpuRead(at + 3)).toBe(13);
    });
  });

  test('replaces what is mapped at a fixed target', () => {
    play(profile, function* (w) {
      yield* w.map(P, 2, RW, 10);
      yield* w.map(Q, 4, RW, 50);
      expect(yield* w.mm.mremap(P, 2, 2, { newPage: Q + 1 })).toBe(Q + 1);
      const got: number[] = [];
      for (let i = 0; i < 4; i++) got.push(yield* w.mm.cpuRead(Q + i));
      expect(got).toEqual([50, 10, 11, 53]);
    });
  });

  test('a page that is shared by fork keeps all its mappings findable after one of them moved', () => {
    play(profile, function* (w, dev) {
      yield* w.map(P, 2, RW, 10);
      const child = yield* forked(w.mm);
      expect(yield* child.mremap(P, 2, 2, { newPage: Q })).toBe(Q);
      expect(yield* dev.toDev(P, 2)).toBe(0);
      expect([w.mm.entryKind(P), child.entryKind(Q)]).toEqual(['device-private', 'device-private']);
      expect([yield* child.cpuRead(Q), yield* w.mm.cpuRead(P + 1)]).toEqual([10, 11]);
      expect(w.mm.pfnAt(P)).toBe(child.pfnAt(Q));
    });
  });

  test('refuses what it cannot do and changes nothing', () => {
    play(profile, function* (w) {
      yield* w.map(P, 4, RW, 10);
      yield* w.map(block(12), 512, { ...RW, hugetlb: true });
      const cases: [number, number, number, object, number][] = [
        [P, 4, 0, {}, -EINVAL],
        [P, 4, 4, { newPage: P + 2 }, -EINVAL],
        [P, 4, 3, { dontUnmap: true }, -EINVAL],
        [P - 1, 1, 2, {}, -EFAULT],
        [P, 6, 8, { mayMove: true }, -EFAULT],
        [block(12), 512, 100, {}, -EINVAL],
        [P, 0, 4, {}, -EINVAL],
      ];
      for (const [page, pages, newPages, o, err] of cases) {
        expect(yield* w.mm.mremap(page, pages, newPages, o)).toBe(err);
      }
      expect(yield* w.mm.cpuRead(P + 3)).toBe(13);
      expect(w.mm.vmas.size).toBe(2);
    });
  });

  test('against eviction under random schedules keeps the data', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const w = new World({ profile, seed, strategy: random(), pages: 4096 });
      const dev = new Dmirror(w.mm, 2048);
      w.run(
        (function* () {
          yield* dev.open();
          yield* w.map(P, 6, RW, 10);
          expect(yield* dev.toDev(P, 6)).toBe(0);
        })(),
      );
      w.machine.spawn(w.mm.mremap(P, 6, 6, { newPage: Q + 1 }), 'mremap');
      w.machine.spawn(dev.release(), 'evict');
      w.machine.drain();
      expect(audit(w.folios), `seed ${seed}`).toEqual([]);
      w.run(
        (function* () {
          for (let i = 0; i < 6; i++) expect(yield* w.mm.cpuRead(Q + 1 + i), `seed ${seed}`).toBe(10 + i);
          yield* dev.close();
          yield* w.mm.exit();
        })(),
      );
      expect(w.machine.ledger.live(), `seed ${seed}`).toEqual([]);
    }
  });
});
