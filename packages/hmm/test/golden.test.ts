import { EFAULT, EINVAL, ENOENT, EPERM, type KernelProfileName, type Task } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import { Dmirror } from './support/dmirror.ts';
import { block, MEASURED, NONE, RO, RW, THP, World } from './support/world.ts';

const P = block(8);

class Probe extends World {
  readonly dev: Dmirror;
  readonly dev2: Dmirror;
  readonly is73: boolean;
  /** Warnings that the scenario provokes: the module warns where finding F1 bites. */
  warnings = 0;

  constructor(profile: KernelProfileName) {
    super({ profile });
    this.is73 = profile === 'linux-7.3';
    this.dev = new Dmirror(this.mm);
    this.dev2 = new Dmirror(this.mm);
  }

  /** Runs a scenario, then tears everything down and asserts that nothing is left. */
  play(body: (p: Probe) => Task<void>): void {
    this.run(this.#play(body));
    expect(this.machine.ledger.live()).toEqual([]);
    expect(this.dev.liveReferences + this.dev2.liveReferences).toBe(0);
    expect(this.machine.warnings).toBe(this.warnings);
  }

  *#play(body: (p: Probe) => Task<void>): Task<void> {
    yield* this.dev.open();
    yield* this.dev2.open();
    yield* body(this);
    yield* this.dev.close();
    yield* this.dev2.close();
    yield* this.mm.exit();
  }

  /** Words of a snapshot with runs counted: `3 W, 1 none`. */
  *snap(page: number, pages: number, dev = this.dev): Task<string> {
    const words = yield* dev.snapshot(page, pages);
    const runs: [string, number][] = [];
    for (const word of words) {
      const last = runs.at(-1);
      if (last?.[0] === word) last[1]++;
      else runs.push([word, 1]);
    }
    return runs.map(([word, n]) => `${n} ${word}`).join(', ');
  }

  /** A written 2 MiB THP at P, migrated to the device. */
  *thpOnDevice(): Task<void> {
    yield* this.map(P, 512, THP, 100);
    expect(yield* this.dev.toDev(P, 512)).toBe(0);
    expect(yield* this.snap(P, 512)).toBe(this.is73 ? '512 DEV:W+PMD' : '512 DEV:W');
  }

  /** The CPU sees 100 + i on every page from `from` to `to` (relative to P). */
  *verify(from: number, to: number): Task<void> {
    for (let i = from; i < to; i++) expect(yield* this.mm.cpuRead(P + i)).toBe(100 + i);
  }
}

describe.each(MEASURED)('golden probes on %s', (profile) => {
  const probe = (name: string, body: (p: Probe) => Task<void>): void => {
    test(name, () => new Probe(profile).play(body));
  };
  /** Needs the FLAGS command, which the driver has since device THP. */
  const probe73 = (name: string, body: (p: Probe) => Task<void>): void => {
    if (profile === 'linux-7.3') probe(name, body);
  };

  probe('P02: a pinned page does not migrate until the pin goes', function* (p) {
    yield* p.map(P, 1, RW, 5);
    const pfn = p.mm.pfnAt(P);
    p.folios.pin(pfn);
    expect(yield* p.dev.toDev(P, 1)).toBe(-ENOENT);
    expect(yield* p.snap(P, 1)).toBe('1 W');
    p.folios.unpin(pfn);
    expect(yield* p.dev.toDev(P, 1)).toBe(0);
    expect(yield* p.mm.cpuRead(P)).toBe(5);
  });

  probe('P03: an anonymous hole migrates as zeros, writable as the VMA', function* (p) {
    yield* p.map(P, 4, RW);
    yield* p.map(P + 8, 4, RO);
    expect(yield* p.dev.toDev(P, 4)).toBe(0);
    expect(yield* p.dev.toDev(P + 8, 4)).toBe(0);
    expect(yield* p.snap(P, 4)).toBe('4 DEV:W');
    expect(yield* p.snap(P + 8, 4)).toBe('4 DEV:R');
    expect(yield* p.dev.read(P, 4)).toEqual([0, 0, 0, 0]);
    expect(yield* p.mm.cpuRead(P)).toBe(0);
  });

  probe('P04: the zero page migrates and comes back writable', function* (p) {
    yield* p.map(P, 1, RW);
    yield* p.mm.cpuRead(P);
    expect(yield* p.snap(P, 1)).toBe('1 ZERO:R');
    expect(yield* p.dev.toDev(P, 1)).toBe(0);
    expect(yield* p.snap(P, 1)).toBe('1 DEV:W');
    expect(yield* p.mm.cpuRead(P)).toBe(0);
    expect(yield* p.snap(P, 1)).toBe('1 W');
  });

  probe(
    'P06: a THP goes to the device and one CPU read brings back one page, or all of a device THP',
    function* (p) {
      yield* p.thpOnDevice();
      expect(yield* p.mm.cpuRead(P + 7)).toBe(107);
      expect(yield* p.snap(P, 512)).toBe(p.is73 ? '512 W+PMD' : '7 DEV:W, 1 W, 504 DEV:W');
      yield* p.verify(0, 512);
    },
  );

  probe('P08: a page of another device is invisible, does not move, and returns when read', function* (p) {
    yield* p.map(P, 1, RW, 9);
    expect(yield* p.dev2.toDev(P, 1)).toBe(0);
    expect(yield* p.snap(P, 1)).toBe('1 none');
    expect(yield* p.dev.toDev(P, 1)).toBe(-ENOENT);
    expect(yield* p.dev.read(P, 1)).toEqual([9]);
    expect(yield* p.snap(P, 1)).toBe('1 W');
    expect(yield* p.snap(P, 1, p.dev2)).toBe('1 W');
  });

  probe('P11: a device page made read-only stays read-only after mprotect back', function* (p) {
    yield* p.map(P, 1, RW, 3);
    expect(yield* p.dev.toDev(P, 1)).toBe(0);
    expect(yield* p.mm.mprotect(P, 1, RO)).toBe(0);
    expect(yield* p.snap(P, 1)).toBe('1 DEV:R');
    expect(yield* p.mm.mprotect(P, 1, RW)).toBe(0);
    expect(yield* p.snap(P, 1)).toBe('1 DEV:R');
    expect(yield* p.dev.write(P, 1, 4)).toBe(-EFAULT);
    p.warnings = 1;
    expect(yield* p.mm.cpuRead(P)).toBe(3);
    expect(yield* p.dev.write(P, 1, 4)).toBe(0);
    expect(yield* p.mm.cpuRead(P)).toBe(4);
  });

  probe('P11b: DONTNEED of a device page leaves nothing', function* (p) {
    yield* p.map(P, 2, RW, 3);
    expect(yield* p.dev.toDev(P, 2)).toBe(0);
    expect(yield* p.mm.madviseDontneed(P, 1)).toBe(0);
    expect(yield* p.snap(P, 2)).toBe('1 none, 1 DEV:W');
    expect(yield* p.mm.cpuRead(P)).toBe(0);
    expect(yield* p.mm.cpuRead(P + 1)).toBe(4);
  });

  probe('P14: TO_SYS counts what was still there, and nothing for the wrong device', function* (p) {
    yield* p.map(P, 4, RW, 3);
    expect(yield* p.dev.toDev(P, 4)).toBe(0);
    yield* p.mm.cpuRead(P + 2);
    expect(yield* p.dev2.migrateToSys(P, 4)).toBe(0);
    expect(p.dev2.cpages).toBe(0);
    expect(yield* p.dev.migrateToSys(P, 4)).toBe(0);
    expect(p.dev.cpages).toBe(3);
    expect(yield* p.snap(P, 4)).toBe('4 W');
  });

  probe('P15: a device read of holes is one fault round of zero pages, a write replaces one', function* (p) {
    yield* p.map(P, 100, RW);
    expect(yield* p.dev.read(P, 100)).toEqual(Array.from({ length: 100 }, () => 0));
    expect(p.dev.faults).toBe(1);
    expect(yield* p.snap(P, 100)).toBe('100 ZERO:R');
    expect(yield* p.dev.write(P + 50, 1, 8)).toBe(0);
    expect(yield* p.snap(P, 100)).toBe('50 ZERO:R, 1 W, 49 ZERO:R');
  });

  probe(
    'P16: a hole and PROT_NONE are -EFAULT, a read-only write is -EPERM, migrating them -EINVAL',
    function* (p) {
      yield* p.map(P, 2, RW, 1);
      yield* p.map(P + 3, 1, NONE);
      yield* p.map(P + 4, 1, RO);
      expect(yield* p.dev.read(P, 3)).toBe(-EFAULT);
      expect(yield* p.dev.read(P + 3, 1)).toBe(-EFAULT);
      expect(yield* p.dev.write(P + 4, 1, 2)).toBe(-EPERM);
      expect(yield* p.dev.toDev(P + 2, 1)).toBe(-EINVAL);
      expect(yield* p.dev.toDev(P + 3, 1)).toBe(-EINVAL);
      expect(yield* p.mm.cpuRead(P)).toBe(1);
    },
  );

  probe('P17: shared anonymous memory does not migrate', function* (p) {
    yield* p.map(P, 4, { ...RW, shared: true }, 6);
    expect(yield* p.dev.toDev(P, 4)).toBe(-ENOENT);
    expect(yield* p.snap(P, 4)).toBe('4 W');
    expect(yield* p.mm.cpuRead(P + 1)).toBe(7);
  });

  probe('P21: a hugetlb page is reported with its order and does not migrate', function* (p) {
    yield* p.map(P, 512, { ...RW, hugetlb: true });
    expect(yield* p.snap(P, 512)).toBe('512 none');
    yield* p.mm.cpuWrite(P + 1, 1);
    expect(yield* p.snap(P, 512)).toBe('512 W+PMD');
    expect(yield* p.dev.toDev(P, 512)).toBe(-EINVAL);
  });

  probe('P25: a device write of one page into a huge hole brings the whole 2 MiB', function* (p) {
    yield* p.map(P, 512, THP);
    expect(yield* p.dev.write(P + 3, 1, 8)).toBe(0);
    expect(yield* p.snap(P, 512)).toBe('512 W+PMD');
    expect(yield* p.mm.cpuRead(P + 3)).toBe(8);
  });

  probe('T01: another device sees nothing of a device THP; TO_SYS brings it back', function* (p) {
    yield* p.thpOnDevice();
    expect(yield* p.snap(P, 512, p.dev2)).toBe(p.is73 ? '512 ERROR' : '512 none');
    expect(yield* p.dev.migrateToSys(P, 512)).toBe(0);
    expect(p.dev.cpages).toBe(p.is73 ? 1 : 512);
    expect(yield* p.snap(P, 512)).toBe(p.is73 ? '512 W+PMD' : '512 W');
    yield* p.verify(0, 512);
  });

  probe('T02: munmap of half a device THP leaves the rest as single pages', function* (p) {
    yield* p.thpOnDevice();
    expect(yield* p.mm.munmap(P, 256)).toBe(0);
    expect(yield* p.snap(P, 512)).toBe('256 ERROR, 256 DEV:W');
    expect(yield* p.mm.cpuRead(P + 300)).toBe(400);
    expect(yield* p.snap(P + 256, 256)).toBe('44 DEV:W, 1 W, 211 DEV:W');
    yield* p.verify(256, 512);
  });

  probe('T04: a device THP made read-only stays so; a CPU write helps', function* (p) {
    yield* p.thpOnDevice();
    expect(yield* p.mm.mprotect(P, 512, RO)).toBe(0);
    const ro = p.is73 ? '512 DEV:R+PMD' : '512 DEV:R';
    expect(yield* p.snap(P, 512)).toBe(ro);
    expect(yield* p.mm.mprotect(P, 512, RW)).toBe(0);
    expect(yield* p.snap(P, 512)).toBe(ro);
    expect(yield* p.dev.write(P, 1, 1)).toBe(-EFAULT);
    p.warnings = 1;
    expect(yield* p.mm.cpuWrite(P, 100)).toBe(0);
    expect(yield* p.snap(P, 512)).toBe(p.is73 ? '512 W+PMD' : '1 W, 511 DEV:R');
    expect(yield* p.dev.write(P, 1, 55)).toBe(0);
    expect(p.dev.faults).toBe(1);
    expect(yield* p.mm.cpuRead(P)).toBe(55);
    yield* p.verify(1, 512);
  });

  probe('T07b: DONTNEED of the whole device THP leaves nothing', function* (p) {
    yield* p.thpOnDevice();
    expect(yield* p.mm.madviseDontneed(P, 512)).toBe(0);
    expect(yield* p.snap(P, 512)).toBe('512 none');
    expect(p.dev.liveReferences).toBe(0);
  });

  probe73('T08: a failed large device allocation falls back to single pages', function* (p) {
    yield* p.map(P, 512, THP, 100);
    p.dev.failAlloc = true;
    expect(yield* p.dev.toDev(P, 512)).toBe(0);
    expect(yield* p.snap(P, 512)).toBe('512 DEV:W');
    expect(yield* p.mm.cpuRead(P + 9)).toBe(109);
    expect(yield* p.snap(P, 512)).toBe('9 DEV:W, 1 W, 502 DEV:W');
    yield* p.verify(0, 512);
  });

  probe73('T09b: a failed large RAM allocation on the way back splits the device THP', function* (p) {
    yield* p.thpOnDevice();
    p.dev.failAlloc = true;
    expect(yield* p.dev.migrateToSys(P, 512)).toBe(0);
    expect(p.dev.cpages).toBe(512);
    expect(yield* p.snap(P, 512)).toBe('512 W');
    yield* p.verify(0, 512);
  });

  probe('T10: an untouched 2 MiB migrates whole', function* (p) {
    yield* p.map(P, 512, THP);
    expect(yield* p.dev.toDev(P, 512)).toBe(0);
    expect(yield* p.snap(P, 512)).toBe(p.is73 ? '512 DEV:W+PMD' : '512 DEV:W');
    expect(yield* p.mm.cpuRead(P + 1)).toBe(0);
    expect(yield* p.snap(P, 512)).toBe(p.is73 ? '512 W+PMD' : '1 DEV:W, 1 W, 510 DEV:W');
  });

  probe('T10: the same in a read-only VMA, and after the huge zero page was read', function* (p) {
    yield* p.map(P, 512, { ...RO, hugepage: true });
    expect(yield* p.dev.toDev(P, 512)).toBe(0);
    expect(yield* p.snap(P, 512)).toBe(p.is73 ? '512 DEV:R+PMD' : '512 DEV:R');
    const Q = P + 512;
    yield* p.map(Q, 512, THP);
    yield* p.mm.cpuRead(Q);
    expect(yield* p.snap(Q, 512)).toBe('512 R+PMD');
    expect(yield* p.dev.toDev(Q, 512)).toBe(0);
    expect(yield* p.snap(Q, 512)).toBe(p.is73 ? '512 DEV:W+PMD' : '512 DEV:W');
  });

  probe73('T10: an untouched 2 MiB with a failed large allocation comes as single pages', function* (p) {
    yield* p.map(P, 512, THP);
    p.dev.failAlloc = true;
    expect(yield* p.dev.toDev(P, 512)).toBe(0);
    expect(yield* p.snap(P, 512)).toBe('512 DEV:W');
  });

  probe('T12: of two THPs all, the first 600 pages, or all but the first page', function* (p) {
    const word = p.is73 ? 'DEV:W+PMD' : 'DEV:W';
    yield* p.map(P, 1024, THP, 100);
    expect(yield* p.dev.toDev(P, 1024)).toBe(0);
    expect(yield* p.snap(P, 1024)).toBe(`1024 ${word}`);
    yield* p.mm.munmap(P, 1024);
    yield* p.map(P, 1024, THP, 100);
    expect(yield* p.dev.toDev(P, 600)).toBe(0);
    expect(yield* p.snap(P, 1024)).toBe(p.is73 ? '512 DEV:W+PMD, 88 DEV:W, 424 W' : '600 DEV:W, 424 W');
    yield* p.verify(0, 1024);
    yield* p.mm.munmap(P, 1024);
    yield* p.map(P, 1024, THP, 100);
    expect(yield* p.dev.toDev(P + 1, 1023)).toBe(0);
    expect(yield* p.snap(P, 1024)).toBe('1 W, 1023 DEV:W');
    yield* p.verify(0, 1024);
  });

  probe('T13: TO_SYS of one page of a device THP splits it', function* (p) {
    yield* p.thpOnDevice();
    expect(yield* p.dev.migrateToSys(P + 5, 1)).toBe(0);
    expect(p.dev.cpages).toBe(1);
    expect(yield* p.snap(P, 512)).toBe('5 DEV:W, 1 W, 506 DEV:W');
    yield* p.verify(0, 512);
  });

  probe('T14: to_dev again is fine, another device cannot take it but can read it', function* (p) {
    yield* p.thpOnDevice();
    expect(yield* p.dev.toDev(P, 512)).toBe(0);
    expect(yield* p.dev2.toDev(P, 512)).toBe(-ENOENT);
    expect(yield* p.dev2.read(P + 3, 1)).toEqual([103]);
    expect(p.dev2.faults).toBe(1);
    expect(yield* p.snap(P, 512)).toBe(p.is73 ? '512 W+PMD' : '3 DEV:W, 1 W, 508 DEV:W');
  });

  probe('T21: half of a THP that was unmapped halfway', function* (p) {
    yield* p.map(P, 512, THP, 100);
    yield* p.mm.munmap(P, 256);
    expect(yield* p.snap(P + 256, 256)).toBe('256 W');
    expect(yield* p.dev.toDev(P + 256, 256)).toBe(p.is73 ? 0 : -ENOENT);
    expect(yield* p.snap(P + 256, 256)).toBe(p.is73 ? '256 DEV:W' : '256 W');
    yield* p.verify(256, 512);
  });

  probe('T23: RELEASE brings a device THP and small pages back', function* (p) {
    yield* p.thpOnDevice();
    yield* p.map(P + 512, 4, RW, 612);
    expect(yield* p.dev.toDev(P + 512, 4)).toBe(0);
    yield* p.dev.release();
    expect(yield* p.snap(P, 516)).toBe(p.is73 ? '512 W+PMD, 4 W' : '516 W');
    yield* p.verify(0, 516);
  });
});
