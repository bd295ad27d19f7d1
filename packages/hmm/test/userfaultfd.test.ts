import { EBUSY, EEXIST, EFAULT, EINTR, ENOENT, type Task } from '@gpusvm/kernel';
import { expect, test } from 'vitest';
import { HMM_PFN_VALID, HmmPfns, hmmRangeFaultUnlockedTimeout, Userfaultfd } from '../src/index.ts';
import { audit } from './support/audit.ts';
import { Dmirror } from './support/dmirror.ts';
import { block, entries, exitAll, forked, Listener, RW, World } from './support/world.ts';

const P = block(8);

function play(body: (w: World, dev: Dmirror, uffd: Userfaultfd) => Task<void>): void {
  const w = new World({ profile: 'linux-7.3' });
  const dev = new Dmirror(w.mm);
  w.run(
    (function* () {
      yield* dev.open();
      yield* body(w, dev, new Userfaultfd(w.mm));
      expect(audit(w.folios)).toEqual([]);
      yield* dev.close();
      yield* exitAll(w.folios);
    })(),
  );
  expect(w.machine.ledger.live()).toEqual([]);
}

/** Answers `count` faults with the page's number as content. */
function handler(w: World, uffd: Userfaultfd, count: number): void {
  w.machine.spawn(
    (function* () {
      for (let i = 0; i < count; i++) {
        const page = yield* uffd.read();
        expect(yield* uffd.copy(page, page)).toBe(0);
      }
    })(),
    'handler',
  );
}

test('userfaultfd_read: the unlocked fault waits for the handler, page by page', () => {
  play(function* (w, dev, uffd) {
    yield* w.map(P, 4, RW);
    expect(yield* uffd.register(P, 4)).toBe(0);
    handler(w, uffd, 4);
    expect(yield* dev.file.readUnlocked(P, 4)).toEqual([P, P + 1, P + 2, P + 3]);
    expect(dev.file.counts).toEqual({ cpages: 4, faults: 1 });
  });
});

test('the locked fault fails instead, the CPU waits, and P10: the hole does not migrate', () => {
  play(function* (w, dev, uffd) {
    yield* w.map(P, 2, RW);
    expect(yield* uffd.register(P, 2)).toBe(0);
    expect(yield* dev.read(P, 1)).toBe(-EFAULT);
    expect(yield* dev.toDev(P, 1)).toBe(-ENOENT);
    expect(entries(w.mm, P, 1)).toEqual(['none']);
    handler(w, uffd, 1);
    expect(yield* w.mm.cpuRead(P)).toBe(P);
    expect(yield* uffd.copy(P, 1)).toBe(-EEXIST);
    expect(yield* uffd.copy(P + 9, 1)).toBe(-ENOENT);
    expect(yield* dev.toDev(P, 1)).toBe(0);
    const child = yield* forked(w.mm);
    expect(yield* child.cpuRead(P + 1)).toBe(0);
    expect(yield* uffd.register(P, 2, false)).toBe(0);
    expect(yield* w.mm.cpuRead(P + 1)).toBe(0);
    expect(w.mm.vmas.size).toBe(1);
  });
});

test('markers: poison is SIGBUS and -EFAULT, write protection of nothing is a hole to everybody', () => {
  play(function* (w, dev, uffd) {
    yield* w.map(P, 3, RW);
    expect(yield* uffd.register(P, 3)).toBe(0);
    expect(yield* uffd.poison(P)).toBe(0);
    expect(yield* uffd.writeProtect(P + 1)).toBe(0);
    expect(yield* uffd.register(P, 3, false)).toBe(0);
    expect(entries(w.mm, P, 3)).toEqual(['marker', 'marker', 'none']);
    expect(yield* dev.snapshot(P, 2)).toEqual(['none', 'none']);
    expect(yield* w.mm.cpuRead(P)).toBe(-EFAULT);
    expect(yield* dev.read(P, 1)).toBe(-EFAULT);
    const child = yield* forked(w.mm);
    expect(entries(child, P, 2)).toEqual(['marker', 'none']);
    expect(yield* dev.read(P + 1, 1)).toEqual([0]);
    expect(yield* w.mm.madviseFree(P, 3)).toBe(0);
    expect(yield* w.mm.cpuRead(P)).toBe(0);
  });
});

test('the unlocked fault gives up for a signal, when time is up, and when the address space is unstable', () => {
  play(function* (w) {
    const ear = new Listener();
    yield* ear.open(w.mm);
    yield* w.map(P, 1, RW, 3);
    const range = {
      notifier: ear.sub,
      notifierSeq: 0,
      startPage: P,
      endPage: P + 1,
      pfns: new HmmPfns(1),
      defaultFlags: HMM_PFN_VALID,
      pfnFlagsMask: 0,
      devPrivateOwner: null,
    };
    w.machine.faultInjection.failNth('hmm.fatal_signal', 1);
    expect(yield* hmmRangeFaultUnlockedTimeout(w.mm, range, 0)).toBe(-EINTR);
    expect(yield* hmmRangeFaultUnlockedTimeout(w.mm, range, 0)).toBe(0);
    // A writer keeps the mmap lock for longer than the budget: no walk happens at all.
    yield* w.mm.mmapLock.downWrite();
    const result: number[] = [];
    w.machine.spawn(
      (function* () {
        result.push(yield* hmmRangeFaultUnlockedTimeout(w.mm, range, 1000));
      })(),
      'fault',
    );
    yield { kind: 'sleep', ns: 5000 };
    w.mm.mmapLock.upWrite();
    yield { kind: 'sleep', ns: 1 };
    expect(result).toEqual([-EBUSY]);
    w.mm.unstable = true;
    expect(yield* hmmRangeFaultUnlockedTimeout(w.mm, range, 0)).toBe(-EFAULT);
    w.mm.unstable = false;
    yield* ear.close();
  });
});
