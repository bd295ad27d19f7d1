import { EBUSY, EFAULT, ENOMEM, type KernelProfileName, type Task } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import { accessRemoteVm, migrateDeviceCoherentFolio, pinUserPages, unpinUserPages } from '../src/index.ts';
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
  body: (w: World, dev: Dmirror, coherent: Dmirror) => Task<void>,
): void {
  const w = new World({ profile });
  w.folios.swap.on(64);
  const dev = new Dmirror(w.mm);
  const coherent = new Dmirror(w.mm, 1024, 'coherent');
  w.run(
    (function* () {
      yield* dev.open();
      yield* coherent.open();
      yield* body(w, dev, coherent);
      expect(audit(w.folios)).toEqual([]);
      yield* dev.close();
      yield* coherent.close();
      yield* exitAll(w.folios);
    })(),
  );
  expect(w.machine.ledger.live()).toEqual([]);
  expect(dev.liveReferences + coherent.liveReferences).toBe(0);
}

describe.each(MEASURED)('pins by address on %s', (profile) => {
  test('fault in what is missing and give the same pages back', () => {
    play(profile, function* (w) {
      yield* w.map(P, 4, RW);
      const pfns = new Float64Array(4);
      expect(yield* pinUserPages(w.mm, P, pfns, { write: true })).toBe(4);
      expect([...pfns]).toEqual([0, 1, 2, 3].map((i) => w.mm.pfnAt(P + i)));
      expect(w.folios.pinCount(pfns[2]!)).toBe(1);
      expect(w.folios.references(pfns[2]!)).toMatchObject({ entries: 1, pins: 1, other: 0 });
      unpinUserPages(w.folios, pfns, 4, { dirty: true });
      expect(w.folios.pinCount(pfns[2]!)).toBe(0);
    });
  });

  test('stop at the first page that cannot be had and report it only when nothing was taken', () => {
    play(profile, function* (w) {
      yield* w.map(P, 2, RW, 5);
      yield* w.map(P + 2, 1, RO);
      yield* w.map(P + 3, 1, NONE);
      const pfns = new Float64Array(4);
      expect(yield* pinUserPages(w.mm, P, pfns, { write: true })).toBe(2);
      unpinUserPages(w.folios, pfns, 2);
      expect(yield* pinUserPages(w.mm, P + 2, pfns, { write: true })).toBe(-EFAULT);
      expect(yield* pinUserPages(w.mm, P + 3, pfns)).toBe(-EFAULT);
      expect(yield* pinUserPages(w.mm, P + 9, pfns)).toBe(-EFAULT);
      yield* w.map(P + 16, 1, RW);
      w.machine.faultInjection.failNth('hmm.alloc_folio', 1);
      expect(yield* pinUserPages(w.mm, P + 16, new Float64Array(1), { write: true })).toBe(-ENOMEM);
    });
  });

  test('P02: what is pinned or only referenced does not migrate until it is given back', () => {
    play(profile, function* (w, dev) {
      yield* w.map(P, 2, RW, 5);
      for (const get of [false, true]) {
        const pfns = new Float64Array(2);
        expect(yield* pinUserPages(w.mm, P, pfns, { write: true, get })).toBe(2);
        expect(yield* dev.toDev(P, 2)).toBeLessThan(0);
        expect(entries(w.mm, P, 2)).toEqual(['present:w', 'present:w']);
        unpinUserPages(w.folios, pfns, 2, { get });
      }
      expect(yield* dev.toDev(P, 2)).toBe(0);
      expect(yield* w.mm.cpuRead(P)).toBe(5);
    });
  });

  test('P13, T15: a read by another process brings device memory back, a THP whole since device THP', () => {
    play(profile, function* (w, dev) {
      yield* w.map(P, 1, RW, 7);
      yield* w.map(P + 512, 512, THP, 100);
      expect(yield* dev.toDev(P, 1)).toBe(0);
      expect(yield* dev.toDev(P + 512, 512)).toBe(0);
      expect(yield* accessRemoteVm(w.mm, P)).toBe(7);
      expect(yield* dev.snapshot(P, 1)).toEqual(['W']);
      expect(yield* accessRemoteVm(w.mm, P + 520, 99)).toBe(99);
      const words = yield* dev.snapshot(P + 512, 512);
      expect([words[8], words[9]]).toEqual(profile === 'linux-7.3' ? ['W+PMD', 'W+PMD'] : ['W', 'DEV:W']);
      expect(yield* accessRemoteVm(w.mm, P + 1)).toBe(-EFAULT);
      expect(yield* w.mm.cpuRead(P + 520)).toBe(99);
    });
  });

  test('a pin for reading of a fork-shared page unshares it: the pinner keeps seeing what the process writes', () => {
    play(profile, function* (w) {
      const ear = new Listener();
      yield* ear.open(w.mm);
      yield* w.map(P, 1, RW, 5);
      const child = yield* forked(w.mm);
      ear.take();
      const pfns = new Float64Array(1);
      expect(yield* pinUserPages(w.mm, P, pfns)).toBe(1);
      expect(ear.take()).toEqual([`CLEAR ${P}..${P + 1}`]);
      expect(entries(w.mm, P, 1)).toEqual(['present']);
      expect(pfns[0]).not.toBe(child.pfnAt(P));
      expect(yield* w.mm.cpuWrite(P, 6)).toBe(0);
      expect([w.folios.readTag(pfns[0]!), yield* child.cpuRead(P)]).toEqual([6, 5]);
      unpinUserPages(w.folios, pfns, 1);
      yield* child.exit();
      const again = yield* forked(w.mm);
      yield* again.exit();
      expect(yield* pinUserPages(w.mm, P, pfns)).toBe(1);
      expect(ear.take()).toEqual([`PROTECTION_PAGE ${P}..${P + 1}`]);
      unpinUserPages(w.folios, pfns, 1);
      yield* ear.close();
    });
  });

  test('the zero page is handed out without a reference, for a long time only as a page of its own', () => {
    play(profile, function* (w) {
      yield* w.map(P, 1, RW);
      const pfns = new Float64Array(1);
      expect(yield* pinUserPages(w.mm, P, pfns)).toBe(1);
      expect(w.folios.zeroPages.has(pfns[0]!)).toBe(true);
      unpinUserPages(w.folios, pfns, 1);
      expect(yield* pinUserPages(w.mm, P, pfns, { longterm: true })).toBe(1);
      expect(w.folios.pinCount(pfns[0]!)).toBe(1);
      unpinUserPages(w.folios, pfns, 1);
    });
  });

  test('hmm_gup_test: coherent pages stay for a short pin and go to RAM for a long one', () => {
    play(profile, function* (w, _dev, coherent) {
      yield* w.map(P, 4, RW, 10);
      expect(yield* coherent.toDev(P, 4)).toBe(0);
      expect(yield* coherent.snapshot(P, 4)).toEqual(Array(4).fill('COH:W'));
      const pfns = new Float64Array(2);
      expect(yield* pinUserPages(w.mm, P, pfns, { write: true })).toBe(2);
      const long = new Float64Array(2);
      expect(yield* pinUserPages(w.mm, P + 2, long, { write: true, longterm: true })).toBe(2);
      expect(yield* coherent.snapshot(P, 4)).toEqual(['COH:W', 'COH:W', 'W', 'W']);
      expect(yield* pinUserPages(w.mm, P, long.subarray(0, 1), { longterm: true })).toBe(-EBUSY);
      for (let i = 0; i < 4; i++) expect(yield* w.mm.cpuRead(P + i)).toBe(10 + i);
      unpinUserPages(w.folios, pfns, 2);
      unpinUserPages(w.folios, Float64Array.of(w.mm.pfnAt(P + 2), w.mm.pfnAt(P + 3)), 2);
      w.machine.faultInjection.failNth('hmm.alloc_folio', 1);
      expect(yield* migrateDeviceCoherentFolio(w.folios, w.mm.pfnAt(P))).toBe(-EBUSY);
      expect(yield* w.mm.cpuRead(P)).toBe(10);
    });
  });
});

describe.each(MEASURED)('coherent memory on %s', (profile) => {
  test('C01: the CPU reads and writes it in place, and the device sees that without a fault', () => {
    play(profile, function* (w, dev, coherent) {
      const other = new Dmirror(w.mm, 512, 'coherent');
      yield* other.open();
      yield* w.map(P, 4, RW, 10);
      expect(yield* coherent.toDev(P, 4)).toBe(0);
      expect(yield* other.snapshot(P, 4)).toEqual(Array(4).fill('RCOH:W'));
      expect(yield* dev.snapshot(P, 4)).toEqual(Array(4).fill('RCOH:W'));
      expect(yield* w.mm.cpuWrite(P + 1, 77)).toBe(0);
      expect(yield* coherent.snapshot(P, 4)).toEqual(Array(4).fill('COH:W'));
      expect(yield* coherent.read(P, 4)).toEqual([10, 77, 12, 13]);
      expect(coherent.faults).toBe(0);
      yield* other.close();
    });
  });

  test('C03: moves by its own device only, and to nobody else', () => {
    play(profile, function* (w, dev, coherent) {
      const other = new Dmirror(w.mm, 512, 'coherent');
      yield* other.open();
      yield* w.map(P, 4, RW, 10);
      expect(yield* coherent.toDev(P, 4)).toBe(0);
      expect(yield* coherent.toDev(P, 4)).toBe(0);
      expect(yield* other.toDev(P, 4)).toBeLessThan(0);
      expect(yield* dev.toDev(P, 4)).toBeLessThan(0);
      expect([yield* other.migrateToSys(P, 4), other.cpages]).toEqual([0, 0]);
      expect([yield* coherent.migrateToSys(P, 4), coherent.cpages]).toEqual([0, 4]);
      expect(yield* coherent.snapshot(P, 4)).toEqual(Array(4).fill('W'));
      yield* other.close();
    });
  });

  test('C04: is shared by fork and copied to RAM by the first write', () => {
    play(profile, function* (w, _dev, coherent) {
      yield* w.map(P, 1, RW, 10);
      expect(yield* coherent.toDev(P, 1)).toBe(0);
      const child = yield* forked(w.mm);
      const mirror = new Dmirror(child, 512, 'coherent');
      yield* mirror.open();
      expect(yield* mirror.snapshot(P, 1)).toEqual(['RCOH:R']);
      expect(yield* child.cpuWrite(P, 20)).toBe(0);
      expect(yield* mirror.snapshot(P, 1)).toEqual(['W']);
      expect(yield* w.mm.cpuRead(P)).toBe(10);
      expect(yield* coherent.snapshot(P, 1)).toEqual(['COH:R']);
      yield* mirror.close();
    });
  });

  test('C05: a THP goes to a device of single pages as single pages', () => {
    play(profile, function* (w, _dev, coherent) {
      yield* w.map(P, 512, THP, 100);
      expect(yield* coherent.toDev(P, 512)).toBe(0);
      expect(new Set(yield* coherent.snapshot(P, 512))).toEqual(new Set(['COH:W']));
      for (let i = 0; i < 512; i += 31) expect(yield* w.mm.cpuRead(P + i)).toBe(100 + i);
    });
  });

  test('C07: a hole is filled, and a coherent page can be made exclusive', () => {
    play(profile, function* (w, _dev, coherent) {
      yield* w.map(P, 2, RW);
      expect(yield* coherent.toDev(P, 1)).toBe(0);
      expect(yield* coherent.snapshot(P, 2)).toEqual(['COH:W', 'none']);
      expect(yield* coherent.file.exclusive(P, 1)).toBe(0);
      expect(yield* coherent.snapshot(P, 2)).toEqual(['none', 'none']);
      expect(yield* w.mm.cpuRead(P)).toBe(0);
    });
  });

  test('is neither swapped nor collapsed', () => {
    play(profile, function* (w, _dev, coherent) {
      yield* w.map(P, 512, RW, 100);
      expect(yield* coherent.toDev(P, 8)).toBe(0);
      expect(yield* w.mm.madvisePageout(P, 8)).toBe(0);
      expect(w.folios.swap.used).toBe(0);
      expect(yield* w.mm.madviseCollapse(P, 512)).toBeLessThan(0);
      expect((yield* coherent.snapshot(P, 1))[0]).toBe('COH:W');
    });
  });
});

test('C08, F6, F7: in 7.3 a coherent PMD cannot be brought back, and a device of 2 MiB folios has no single pages', () => {
  play('linux-7.3', function* (w, _dev, coherent) {
    yield* coherent.release();
    yield* w.map(P, 512, THP, 100);
    expect(yield* coherent.toDev(P, 512)).toBe(0);
    expect(new Set(yield* coherent.snapshot(P, 512))).toEqual(new Set(['COH:W+PMD']));
    expect(yield* w.mm.cpuWrite(P + 3, 5)).toBe(0);
    expect((yield* coherent.snapshot(P, 1))[0]).toBe('COH:W+PMD');
    expect([yield* coherent.migrateToSys(P, 512), coherent.cpages]).toEqual([0, 0]);
    expect([yield* coherent.migrateToSys(P, 1), coherent.cpages]).toEqual([0, 0]);
    yield* w.map(P + 512, 1, RW, 1);
    expect(yield* coherent.toDev(P + 512, 1)).toBeLessThan(0);
    yield* coherent.release();
    expect((yield* coherent.snapshot(P, 1))[0]).toBe('W+PMD');
    expect([yield* w.mm.cpuRead(P + 3), yield* w.mm.cpuRead(P + 4)]).toEqual([5, 104]);
  });
});
