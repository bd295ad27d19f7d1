import { EBUSY, EFAULT, ENOMEM, type Errno, type KernelProfileName, random, type Task } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import type { Mm } from '../src/index.ts';
import { MmRegistry } from '../src/mm-registry.ts';
import { audit } from './support/audit.ts';
import { Dmirror } from './support/dmirror.ts';
import { block, entries, exitAll, forked, Listener, MEASURED, RO, RW, THP, World } from './support/world.ts';

const P = block(8);

/** Runs a scenario with a device, exits every process that still lives, and asserts that nothing is left. */
function play(profile: KernelProfileName, body: (w: World, dev: Dmirror) => Task<void>): void {
  const w = new World({ profile });
  const dev = new Dmirror(w.mm);
  w.run(
    (function* () {
      yield* dev.open();
      yield* body(w, dev);
      expect(audit(w.folios)).toEqual([]);
      yield* dev.close();
      yield* exitAll(w.folios);
    })(),
  );
  expect(w.machine.ledger.live()).toEqual([]);
  expect(w.machine.warnings).toBe(0);
}

describe.each(MEASURED)('fork on %s', (profile) => {
  test('shares every kind of private entry read-only with the child', () => {
    play(profile, function* (w, dev) {
      yield* w.map(P, 5, RW);
      for (let i = 0; i < 4; i++) yield* w.mm.cpuWrite(P + i, 10 + i);
      yield* w.mm.cpuRead(P + 4);
      yield* w.map(P + 5, 1, RO);
      expect(yield* dev.toDev(P + 1, 1)).toBe(0);
      const child = yield* forked(w.mm);
      const both = ['present', 'device-private', 'present', 'present', 'zero', 'none'];
      expect(entries(w.mm, P, 6)).toEqual(both);
      expect(entries(child, P, 6)).toEqual(both);
      expect(w.folios.mapcount(w.mm.pfnAt(P))).toBe(2);
      expect(child.pfnAt(P)).toBe(w.mm.pfnAt(P));
      expect(child.vmas.all().map((v) => [v.startPage, v.endPage, v.write])).toEqual(
        w.mm.vmas.all().map((v) => [v.startPage, v.endPage, v.write]),
      );
    });
  });

  test('copies at the first write of either side and reuses the page for the last owner', () => {
    play(profile, function* (w) {
      yield* w.map(P, 2, RW, 10);
      const child = yield* forked(w.mm);
      const shared = w.mm.pfnAt(P);
      expect(yield* child.cpuWrite(P, 77)).toBe(0);
      expect(yield* w.mm.cpuRead(P)).toBe(10);
      expect(yield* child.cpuRead(P)).toBe(77);
      expect(w.mm.pfnAt(P)).toBe(shared);
      expect(w.mm.isWritable(P)).toBe(false);
      expect(yield* w.mm.cpuWrite(P, 88)).toBe(0);
      expect(w.mm.pfnAt(P)).toBe(shared);
      yield* child.exit();
      expect(yield* w.mm.cpuWrite(P + 1, 5)).toBe(0);
      expect(yield* w.mm.cpuRead(P)).toBe(88);
    });
  });

  test('tells the notifiers of the parent PROTECTION_PAGE for private VMAs only, CLEAR for hugetlb', () => {
    play(profile, function* (w) {
      const ear = new Listener();
      yield* ear.open(w.mm);
      yield* w.map(P, 2, RW, 1);
      yield* w.map(P + 8, 2, { ...RW, shared: true }, 1);
      yield* w.map(P + 16, 1, { ...RW, file: true });
      yield* w.mm.cpuRead(P + 16);
      yield* w.map(P + 512, 512, { ...RW, hugetlb: true }, 1);
      ear.take();
      const child = yield* forked(w.mm);
      expect(ear.take()).toEqual([`PROTECTION_PAGE ${P}..${P + 2}`, `CLEAR ${P + 512}..${P + 1024}`]);
      expect(child.notifiers).toBeNull();
      expect(entries(child, P + 8, 1)).toEqual(['none']);
      expect(yield* child.cpuRead(P + 8)).toBe(1);
      expect(yield* child.cpuWrite(P + 600, 9)).toBe(0);
      expect(yield* w.mm.cpuRead(P + 600)).toBe(89);
      expect(child.pfnAt(P + 512)).not.toBe(w.mm.pfnAt(P + 512));
      yield* ear.close();
    });
  });

  test('a device loses write access and the next device write copies in the writer only', () => {
    play(profile, function* (w, dev) {
      yield* w.map(P, 1, RW, 4);
      expect(yield* dev.write(P, 1, 5)).toBe(0);
      expect(dev.mirror.get(P)?.access).toBe('write');
      const child = yield* forked(w.mm);
      expect(dev.mirror.size).toBe(0);
      expect(yield* dev.write(P, 1, 6)).toBe(0);
      expect(yield* child.cpuRead(P)).toBe(5);
      expect(yield* w.mm.cpuRead(P)).toBe(6);
    });
  });

  test('a pinned page is copied early: the parent keeps it writable, the child gets its own', () => {
    play(profile, function* (w) {
      yield* w.map(P, 2, RW, 10);
      const pfn = w.mm.pfnAt(P);
      w.folios.pin(pfn);
      const child = yield* forked(w.mm);
      expect([w.mm.pfnAt(P), w.mm.isWritable(P)]).toEqual([pfn, true]);
      expect(child.pfnAt(P)).not.toBe(pfn);
      expect([child.isWritable(P), yield* child.cpuRead(P)]).toEqual([true, 10]);
      expect([w.mm.isWritable(P + 1), child.pfnAt(P + 1)]).toEqual([false, w.mm.pfnAt(P + 1)]);
      w.folios.unpin(pfn);
    });
  });

  test('a pinned THP is split in the parent and copied page by page', () => {
    play(profile, function* (w) {
      const ear = new Listener();
      yield* ear.open(w.mm);
      yield* w.map(P, 512, THP, 100);
      ear.take();
      const head = w.mm.pfnAt(P);
      w.folios.pin(head);
      const child = yield* forked(w.mm);
      expect(ear.take()).toEqual([`PROTECTION_PAGE ${P}..${P + 512}`, `CLEAR ${P}..${P + 512}`]);
      expect([w.mm.isPmdMapped(P), w.mm.pfnAt(P + 5), w.mm.isWritable(P + 5)]).toEqual([
        false,
        head + 5,
        true,
      ]);
      expect(child.isWritable(P + 5)).toBe(true);
      expect(yield* child.cpuRead(P + 511)).toBe(611);
      w.folios.unpin(head);
      yield* ear.close();
    });
  });

  test('P01: a shared page migrates for all sharers and a read by the child brings it back for both', () => {
    play(profile, function* (w, dev) {
      yield* w.map(P, 1, RW, 7);
      const child = yield* forked(w.mm);
      expect(yield* dev.toDev(P, 1)).toBe(0);
      expect(yield* dev.snapshot(P, 1)).toEqual(['DEV:R']);
      expect(entries(child, P, 1)).toEqual(['device-private']);
      expect(yield* child.cpuRead(P)).toBe(7);
      expect([entries(w.mm, P, 1), entries(child, P, 1)]).toEqual([['present'], ['present']]);
      expect(child.pfnAt(P)).toBe(w.mm.pfnAt(P));
      expect(yield* dev.snapshot(P, 1)).toEqual(['R']);
    });
  });

  test('P26: a fork-shared THP migrates, whole since device THP, and the child reads everything right', () => {
    play(profile, function* (w, dev) {
      const whole = profile === 'linux-7.3';
      yield* w.map(P, 512, THP, 0);
      for (let i = 0; i < 512; i++) if (i !== 9) yield* w.mm.cpuWrite(P + i, 100 + i);
      const child = yield* forked(w.mm);
      expect(yield* dev.toDev(P, 512)).toBe(0);
      const words = yield* dev.snapshot(P, 512);
      expect(words[0]).toBe(whole ? 'DEV:R+PMD' : 'DEV:R');
      // Finding F3: a page of zeros became the zero page in the split and is filled as a hole.
      expect(words[9]).toBe(whole ? 'DEV:R+PMD' : 'DEV:W');
      for (let i = 0; i < 512; i++) expect(yield* child.cpuRead(P + i)).toBe(i === 9 ? 0 : 100 + i);
      if (whole) expect(new Set(yield* dev.snapshot(P, 512))).toEqual(new Set(['R+PMD']));
    });
  });

  test('T05: a device THP is shared; the first read brings it back for both, or one page of it', () => {
    play(profile, function* (w, dev) {
      yield* w.map(P, 512, THP, 100);
      expect(yield* dev.toDev(P, 512)).toBe(0);
      const child = yield* forked(w.mm);
      expect([w.mm.isWritable(P), child.isWritable(P)]).toEqual([false, false]);
      expect(yield* child.cpuRead(P + 3)).toBe(103);
      const words = yield* dev.snapshot(P, 512);
      const whole = profile === 'linux-7.3';
      expect([words[3], words[4]]).toEqual(whole ? ['R+PMD', 'R+PMD'] : ['R', 'DEV:R']);
      expect([child.entryKind(P + 3), child.entryKind(P + 4)]).toEqual([
        'present',
        whole ? 'present' : 'device-private',
      ]);
      expect(child.isPmdMapped(P)).toBe(whole);
    });
  });

  test('T22: the child unmaps half of a shared device THP; a parent read brings back what the parent has', () => {
    play(profile, function* (w, dev) {
      yield* w.map(P, 512, THP, 100);
      expect(yield* dev.toDev(P, 512)).toBe(0);
      const child = yield* forked(w.mm);
      expect(yield* child.munmap(P, 256)).toBe(0);
      const whole = profile === 'linux-7.3';
      expect((yield* dev.snapshot(P, 1))[0]).toBe(whole ? 'DEV:R+PMD' : 'DEV:R');
      expect(yield* w.mm.cpuRead(P + 1)).toBe(101);
      const words = yield* dev.snapshot(P, 512);
      expect([words[1], words[2]]).toEqual(whole ? ['R+PMD', 'R+PMD'] : ['R', 'DEV:R']);
      for (let i = 256; i < 512; i++) expect(yield* child.cpuRead(P + i)).toBe(100 + i);
      for (let i = 0; i < 512; i++) expect(yield* w.mm.cpuRead(P + i)).toBe(100 + i);
      expect(yield* child.cpuRead(P)).toBe(-EFAULT);
    });
  });

  test('hmm_cow_in_device: the parent writes a device page after fork; each has its own', () => {
    play(profile, function* (w, dev) {
      yield* w.map(P, 4, RW, 20);
      expect(yield* dev.toDev(P, 4)).toBe(0);
      const child = yield* forked(w.mm);
      for (let i = 0; i < 4; i++) expect(yield* w.mm.cpuWrite(P + i, 90 + i)).toBe(0);
      expect(yield* dev.snapshot(P, 4)).toEqual(['W', 'W', 'W', 'W']);
      for (let i = 0; i < 4; i++) expect(yield* child.cpuRead(P + i)).toBe(20 + i);
    });
  });

  test('children that outlive their parent keep their pages and can be migrated', () => {
    play(profile, function* (w) {
      yield* w.map(P, 4, RW, 30);
      const child = yield* forked(w.mm);
      const grandchild = yield* forked(child, 'grandchild');
      const dev2 = new Dmirror(grandchild);
      yield* dev2.open();
      yield* child.exit();
      expect(yield* dev2.toDev(P, 4)).toBe(0);
      expect(entries(w.mm, P, 1)).toEqual(['device-private']);
      expect(yield* grandchild.cpuRead(P + 2)).toBe(32);
      expect(yield* w.mm.cpuRead(P + 3)).toBe(33);
      yield* dev2.close();
    });
  });

  test('without memory at any point leaves the parent as it was and nothing of the child', () => {
    for (let k = 1; ; k += k < 12 ? 1 : 41) {
      const w = new World({ profile });
      let result: Mm | Errno = 0;
      w.run(
        (function* () {
          yield* w.map(P, 4, RW, 10);
          yield* w.map(P + 512, 512, THP, 100);
          w.folios.pin(w.mm.pfnAt(P));
          w.folios.pin(w.mm.pfnAt(P + 512));
          w.machine.faultInjection.failAnyNth(k);
          result = yield* w.mm.fork('child');
          w.machine.faultInjection.reset();
          if (typeof result === 'number') {
            expect(result).toBe(-ENOMEM);
            expect(w.folios.mms.size).toBe(1);
          } else {
            yield* result.exit();
          }
          expect(audit(w.folios)).toEqual([]);
          expect(yield* w.mm.cpuRead(P + 3)).toBe(13);
          expect(yield* w.mm.cpuWrite(P + 515, 1)).toBe(0);
          w.folios.unpin(w.mm.pfnAt(P));
          w.folios.unpin(w.mm.pfnAt(P + 512));
          yield* w.mm.exit();
        })(),
      );
      expect(w.machine.ledger.live()).toEqual([]);
      if (typeof result !== 'number') {
        expect(k).toBeGreaterThan(500);
        return;
      }
    }
  });

  test('against eviction, migration and writes under random schedules every process keeps its data', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const w = new World({ profile, seed, strategy: random(), pages: 4096 });
      const dev = new Dmirror(w.mm, 2048);
      w.run(
        (function* () {
          yield* dev.open();
          yield* w.map(P, 6, RW, 10);
          yield* dev.toDev(P, 3);
        })(),
      );
      let child = -EBUSY as Mm | Errno;
      w.machine.spawn(
        (function* () {
          child = yield* w.mm.fork('child');
        })(),
        'fork',
      );
      w.machine.spawn(dev.release(), 'evict');
      w.machine.spawn(
        (function* () {
          expect(yield* w.mm.cpuWrite(P + 4, 99)).toBe(0);
        })(),
        'write',
      );
      w.machine.drain();
      expect(audit(w.folios), `seed ${seed}`).toEqual([]);
      w.run(
        (function* () {
          if (typeof child === 'number') throw new Error(`fork gave ${child}`);
          const mm: Mm = child;
          for (const i of [0, 1, 2, 3, 5]) {
            expect(yield* mm.cpuRead(P + i), `seed ${seed}`).toBe(10 + i);
            expect(yield* w.mm.cpuRead(P + i)).toBe(10 + i);
          }
          expect([14, 99]).toContain(yield* mm.cpuRead(P + 4));
          expect(yield* w.mm.cpuRead(P + 4)).toBe(99);
          yield* dev.close();
          yield* mm.exit();
          yield* w.mm.exit();
        })(),
      );
      expect(w.machine.ledger.live(), `seed ${seed}`).toEqual([]);
    }
  });
});

test('memory that never held a private page is left to the faults of the child, the zero page too', () => {
  play('linux-7.3', function* (w) {
    yield* w.map(P, 2, RW);
    yield* w.mm.cpuRead(P);
    const child = yield* forked(w.mm);
    expect(entries(child, P, 2)).toEqual(['none', 'none']);
    expect(yield* child.cpuRead(P)).toBe(0);
  });
});

test('an address-space id is used again when its family is gone, and searched for when ids run out', () => {
  const registry = new MmRegistry();
  const used = new Uint8Array(0x10000);
  const born = (parent: Mm | null): Mm => {
    const mm = { id: 0 };
    const member = mm as unknown as Mm;
    mm.id = registry.add(member, parent, () => used);
    return member;
  };
  const parent = born(null);
  const loner = born(null);
  registry.remove(loner.id);
  const child = born(parent);
  expect(child.id).toBe(loner.id);
  used[parent.id] = 1;
  used[child.id] = 1;
  registry.remove(child.id);
  const ids = new Set<number>();
  for (let i = 0; i < 70_000; i++) {
    const next = born(parent);
    ids.add(next.id);
    registry.remove(next.id);
  }
  expect(ids.size).toBe(0xffff - 2);
  expect(ids.has(child.id)).toBe(false);
  expect(registry.family(child.id)).toEqual([parent]);
  for (let i = 0; i < ids.size; i++) born(parent);
  expect(() => born(parent)).toThrow(RangeError);
});
