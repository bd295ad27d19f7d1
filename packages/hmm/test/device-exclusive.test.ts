import {
  EBUSY,
  EFAULT,
  EINTR,
  EOPNOTSUPP,
  type Errno,
  EPERM,
  random,
  type KernelProfileName,
} from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import { makeDeviceExclusive, type Mm } from '../src/index.ts';
import { audit } from './support/audit.ts';
import { Dmirror } from './support/dmirror.ts';
import { type Play, play as playWith } from './support/play.ts';
import { block, entries, forked, Listener, MEASURED, RO, RW, THP, World } from './support/world.ts';

const P = block(8);

function play(profile: KernelProfileName, body: Play, swapPages = 64): void {
  playWith(profile, body, swapPages);
}

describe.each(MEASURED)('device-exclusive pages on %s', (profile) => {
  const revoke = profile === 'linux-6.12' ? 'EXCLUSIVE' : 'CLEAR';

  test('take the page from the CPU with EXCLUSIVE; the next CPU access ends that and says so', () => {
    play(profile, function* (w, dev) {
      const ear = new Listener();
      yield* ear.open(w.mm);
      yield* w.map(P, 1, RW, 5);
      ear.take();
      const owner = {};
      yield* w.mm.mmapLock.downRead();
      const pfn = yield* makeDeviceExclusive(w.mm, P, owner);
      w.mm.mmapLock.upRead();
      expect(ear.take()).toEqual([`EXCLUSIVE ${P}..${P + 1}`]);
      expect([pfn, w.mm.entryKind(P)]).toEqual([w.mm.pfnAt(P), 'device-exclusive']);
      expect([w.folios.isLocked(pfn), w.folios.refcount(pfn), w.folios.mapcount(pfn)]).toEqual([
        true,
        2,
        profile === 'linux-6.12' ? 0 : 1,
      ]);
      expect(yield* dev.snapshot(P, 1)).toEqual(['none']);
      ear.take();
      w.folios.writeTag(pfn, 6);
      w.folios.unlock(pfn);
      w.folios.put(pfn);
      expect(yield* w.mm.cpuRead(P)).toBe(6);
      expect(ear.take()).toEqual([`${revoke} ${P}..${P + 1}`]);
      expect(entries(w.mm, P, 1)).toEqual(['present:w']);
      yield* ear.close();
    });
  });

  test('P09: populates holes; a touch of one page also revokes the next in the module (F4)', () => {
    play(profile, function* (w, dev) {
      yield* w.map(P, 3, RW);
      expect(yield* dev.file.exclusive(P, 3)).toBe(0);
      expect(dev.cpages).toBe(3);
      expect(entries(w.mm, P, 3)).toEqual(Array(3).fill('device-exclusive:w'));
      expect(yield* dev.snapshot(P, 3)).toEqual(['none', 'none', 'none']);
      expect(yield* dev.file.checkExclusive(P, 3)).toBe(-EPERM);
      expect(yield* w.mm.cpuWrite(P, 1)).toBe(0);
      expect([dev.mirror.get(P), dev.mirror.get(P + 1), dev.mirror.get(P + 2)?.access]).toEqual([
        undefined,
        undefined,
        'atomic',
      ]);
      for (let i = 1; i < 3; i++) expect(yield* w.mm.cpuRead(P + i)).toBe(0);
      expect(yield* dev.file.checkExclusive(P, 3)).toBe(0);
    });
  });

  test('hmm exclusive: the CPU sees old values and its own writes stick', () => {
    play(profile, function* (w, dev) {
      yield* w.map(P, 8, RW, 10);
      expect(yield* dev.file.exclusive(P, 8)).toBe(0);
      for (let i = 0; i < 8; i++) {
        const old = yield* w.mm.cpuRead(P + i);
        expect(yield* w.mm.cpuWrite(P + i, old + 1)).toBe(0);
      }
      for (let i = 0; i < 8; i++) expect(yield* w.mm.cpuRead(P + i)).toBe(11 + i);
    });
  });

  test('exclusive_mprotect: after mprotect the device may not write; the page comes back read-only', () => {
    play(profile, function* (w, dev) {
      yield* w.map(P, 1, RW, 10);
      expect(yield* dev.file.exclusive(P, 1)).toBe(0);
      yield* w.mm.mprotect(P, 1, RO);
      expect(yield* dev.write(P, 1, 3)).toBe(-EPERM);
      expect(yield* w.mm.cpuRead(P)).toBe(10);
      expect(entries(w.mm, P, 1)).toEqual(['present']);
      expect(yield* w.mm.cpuWrite(P, 1)).toBe(-EFAULT);
    });
  });

  test('exclusive_cow: fork makes the page present first and both sides copy', () => {
    play(profile, function* (w, dev) {
      yield* w.map(P, 1, RW, 10);
      expect(yield* dev.file.exclusive(P, 1)).toBe(0);
      const child = yield* forked(w.mm);
      expect([entries(w.mm, P, 1), entries(child, P, 1)]).toEqual([['present'], ['present']]);
      expect(yield* child.cpuWrite(P, 11)).toBe(0);
      expect(yield* w.mm.cpuWrite(P, 12)).toBe(0);
      expect([yield* child.cpuRead(P), yield* w.mm.cpuRead(P)]).toEqual([11, 12]);
    });
  });

  test('fork fails while the driver holds the folio, and leaves nothing behind', () => {
    play(profile, function* (w) {
      yield* w.map(P, 2, RW, 10);
      yield* w.mm.mmapLock.downRead();
      const pfn = yield* makeDeviceExclusive(w.mm, P + 1, {});
      w.mm.mmapLock.upRead();
      expect(yield* w.mm.fork('child')).toBe(-EBUSY);
      expect(w.folios.mms.size).toBe(1);
      w.folios.unlock(pfn);
      w.folios.put(pfn);
      expect(yield* w.mm.cpuRead(P)).toBe(10);
    });
  });

  test('T18: a page of a RAM THP or of a device THP', () => {
    play(profile, function* (w, dev) {
      const old = profile === 'linux-6.12';
      yield* w.map(P, 512, THP, 100);
      expect(yield* dev.file.exclusive(P + 5, 1)).toBe(old ? -EBUSY : 0);
      expect(yield* dev.snapshot(P + 4, 3)).toEqual(old ? ['W', 'W', 'W'] : ['W', 'none', 'W']);
      const Q = P + 512;
      yield* w.map(Q, 512, THP, 100);
      expect(yield* dev.toDev(Q, 512)).toBe(0);
      expect(yield* dev.file.exclusive(Q + 5, 1)).toBe(0);
      expect(yield* dev.snapshot(Q + 4, 3)).toEqual(old ? ['DEV:W', 'none', 'DEV:W'] : ['W', 'none', 'W']);
      for (const i of [4, 5, 6]) expect(yield* w.mm.cpuRead(Q + i)).toBe(100 + i);
    });
  });

  test('does not migrate; takes over from another device; is refused for files and where writing is', () => {
    play(profile, function* (w, dev) {
      const other = new Dmirror(w.mm);
      yield* other.open();
      yield* w.map(P, 1, RW, 5);
      expect(yield* dev.file.exclusive(P, 1)).toBe(0);
      expect(yield* dev.toDev(P, 1)).toBe(0);
      expect(entries(w.mm, P, 1)).toEqual(['device-exclusive:w']);
      expect(yield* other.file.exclusive(P, 1)).toBe(0);
      expect(yield* dev.file.checkExclusive(P, 1)).toBe(0);
      expect(yield* other.file.checkExclusive(P, 1)).toBe(-EPERM);
      // The module of 6.12 knows one errno.
      const told = (err: Errno): Errno => (profile === 'linux-6.12' ? -EBUSY : err);
      yield* w.map(P + 8, 1, { ...RW, shared: true }, 1);
      expect(yield* dev.file.exclusive(P + 8, 1)).toBe(told(-EOPNOTSUPP));
      yield* w.map(P + 9, 1, RO);
      expect(yield* dev.file.exclusive(P + 9, 1)).toBe(told(-EFAULT));
      expect(yield* dev.file.exclusive(P + 20, 1)).toBe(told(-EFAULT));
      w.machine.faultInjection.failNth('hmm.fatal_signal', 1);
      expect(yield* dev.file.exclusive(P, 1)).toBe(told(-EINTR));
      yield* other.close();
    });
  });

  test('DONTNEED, mremap, reclaim and exit cope with exclusive entries', () => {
    play(profile, function* (w, dev) {
      yield* w.map(P, 4, RW, 10);
      expect(yield* dev.file.exclusive(P, 4)).toBe(0);
      yield* w.mm.madviseDontneed(P, 1);
      expect(yield* w.mm.mremap(P + 1, 1, 1, { newPage: block(20) })).toBe(block(20));
      yield* w.mm.madvisePageout(P + 2, 1);
      expect(entries(w.mm, P, 4)).toEqual(['none', 'none', 'device-exclusive:w', 'device-exclusive:w']);
      expect([yield* w.mm.cpuRead(P), yield* w.mm.cpuRead(block(20)), yield* w.mm.cpuRead(P + 2)]).toEqual([
        0, 11, 12,
      ]);
    });
  });

  test('against CPU accesses, fork and another device under random schedules no page and no write is lost', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const w = new World({ profile, seed, strategy: random(), pages: 2048 });
      const dev = new Dmirror(w.mm, 512);
      const other = new Dmirror(w.mm, 512);
      w.run(
        (function* () {
          yield* dev.open();
          yield* other.open();
          yield* w.map(P, 2, RW, 10);
        })(),
      );
      w.machine.spawn(dev.file.exclusive(P, 2), 'exclusive');
      w.machine.spawn(other.file.exclusive(P, 2), 'other');
      w.machine.spawn(
        (function* () {
          expect(yield* w.mm.cpuWrite(P + 1, 99)).toBe(0);
        })(),
        'write',
      );
      w.machine.spawn(
        (function* () {
          const child: Mm | number = yield* w.mm.fork('child');
          if (typeof child === 'number') expect(child).toBe(-EBUSY);
          else yield* child.exit();
        })(),
        'fork',
      );
      w.machine.drain();
      expect(audit(w.folios), `seed ${seed}`).toEqual([]);
      w.run(
        (function* () {
          expect(yield* w.mm.cpuRead(P)).toBe(10);
          expect(yield* w.mm.cpuRead(P + 1)).toBe(99);
          yield* dev.close();
          yield* other.close();
          yield* w.mm.exit();
        })(),
      );
      expect(w.machine.ledger.live(), `seed ${seed}`).toEqual([]);
    }
  });
});
