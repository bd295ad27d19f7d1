import type { KernelProfileName, Task } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import {
  changeProtNuma,
  clearRefs,
  memoryFailure,
  msync,
  oomReap,
  pinUserPages,
  reclaimFolio,
  truncate,
  unpinUserPages,
} from '../src/index.ts';
import { Dmirror } from './support/dmirror.ts';
import { block, exitAll, forked, Listener, MEASURED, RO, RW, THP, World } from './support/world.ts';

const P = block(8);

interface Row {
  readonly what: string;
  readonly prepare: (w: World, dev: Dmirror) => Task<void>;
  readonly run: (w: World, dev: Dmirror) => Task<unknown>;
  readonly events: readonly string[] | ((profile: KernelProfileName) => readonly string[]);
  readonly lost?: number;
}

const nothing = function* (): Task<void> {};
const small = (w: World): Task<void> => w.map(P, 4, RW, 10);
const huge = (w: World): Task<void> => w.map(P, 512, THP, 10);
const span = (event: string, from: number, to: number): string => `${event} ${P + from}..${P + to}`;

const ROWS: readonly Row[] = [
  { what: 'a first touch', prepare: (w) => w.map(P, 4, RW), run: (w) => w.mm.cpuWrite(P, 1), events: [] },
  { what: 'munmap', prepare: small, run: (w) => w.mm.munmap(P + 1, 2), events: [span('UNMAP', 1, 3)] },
  { what: 'munmap of nothing', prepare: nothing, run: (w) => w.mm.munmap(P, 2), events: [] },
  {
    what: 'munmap through a THP',
    prepare: huge,
    run: (w) => w.mm.munmap(P + 100, 512),
    events: [span('CLEAR', 0, 512), span('UNMAP', 100, 612)],
  },
  {
    what: 'mremap',
    prepare: small,
    run: (w) => w.mm.mremap(P, 4, 4, { newPage: block(20) }),
    events: [span('UNMAP', 0, 4), span('UNMAP', 0, 4)],
  },
  {
    what: 'MADV_DONTNEED',
    prepare: small,
    run: (w) => w.mm.madviseDontneed(P, 2),
    events: [span('CLEAR', 0, 2)],
  },
  { what: 'MADV_FREE', prepare: small, run: (w) => w.mm.madviseFree(P, 2), events: [span('CLEAR', 0, 2)] },
  {
    what: 'MADV_COLLAPSE',
    prepare: (w) => w.map(P, 512, RW, 1),
    run: (w) => w.mm.madviseCollapse(P, 512),
    events: [span('CLEAR', 0, 512)],
  },
  {
    what: 'a COW break',
    prepare: function* (w) {
      yield* small(w);
      yield* forked(w.mm);
    },
    run: (w) => w.mm.cpuWrite(P + 2, 5),
    events: [span('CLEAR', 2, 3)],
  },
  {
    what: 'a write to the zero page',
    prepare: function* (w) {
      yield* w.map(P, 1, RW);
      yield* w.mm.cpuRead(P);
    },
    run: (w) => w.mm.cpuWrite(P, 5),
    events: [span('CLEAR', 0, 1)],
  },
  {
    what: 'reclaim',
    prepare: small,
    run: (w) => reclaimFolio(w.folios, w.mm.pfnAt(P)),
    events: [span('CLEAR', 0, 1)],
  },
  {
    what: 'reclaim of a THP',
    prepare: huge,
    run: (w) => reclaimFolio(w.folios, w.mm.pfnAt(P)),
    events: [span('CLEAR', 0, 512)],
  },
  {
    what: 'a memory error',
    prepare: small,
    run: (w) => memoryFailure(w.folios, w.mm.pfnAt(P)),
    events: [span('CLEAR', 0, 1)],
    lost: 1,
  },
  {
    what: 'mprotect',
    prepare: small,
    run: (w) => w.mm.mprotect(P, 2, RO),
    events: [span('PROTECTION_VMA', 0, 2)],
  },
  {
    what: 'mprotect of nothing',
    prepare: (w) => w.map(P, 4, RW),
    run: (w) => w.mm.mprotect(P, 2, RO),
    events: [],
  },
  {
    what: 'a NUMA hint',
    prepare: small,
    run: (w) => changeProtNuma(w.mm, P, P + 4),
    events: [span('PROTECTION_VMA', 0, 4)],
  },
  { what: 'fork', prepare: small, run: (w) => w.mm.fork('child'), events: [span('PROTECTION_PAGE', 0, 4)] },
  {
    what: 'fork of untouched memory',
    prepare: (w) => w.map(P, 4, RW),
    run: (w) => w.mm.fork('child'),
    events: [],
  },
  {
    what: 'fork of shared memory',
    prepare: (w) => w.map(P, 4, { ...RW, shared: true }, 1),
    run: (w) => w.mm.fork('child'),
    events: [],
  },
  {
    what: 'writeback of a shared file page',
    prepare: (w) => w.map(P, 2, { ...RW, shared: true, file: true }, 1),
    run: (w) => msync(w.mm, P, 1),
    events: [span('PROTECTION_PAGE', 0, 1)],
  },
  { what: 'clear_refs', prepare: small, run: (w) => clearRefs(w.mm), events: [`SOFT_DIRTY 0..${2 ** 52}`] },
  {
    what: 'truncate',
    prepare: (w) => w.map(P, 4, { ...RW, shared: true, file: true }, 1),
    run: (w) => truncate(w.folios, w.mm.vmaLookup(P)!.mapping!, 1),
    events: [span('CLEAR', 1, 4)],
  },
  {
    what: 'migration to a device',
    prepare: small,
    run: (_w, dev) => dev.toDev(P, 4),
    events: [span('MIGRATE', 0, 4)],
  },
  {
    what: 'migration of a range with holes',
    prepare: function* (w) {
      yield* w.map(P, 4, RW);
      yield* w.mm.cpuWrite(P, 1);
    },
    run: (_w, dev) => dev.toDev(P, 4),
    events: [span('MIGRATE', 0, 4), span('MIGRATE', 1, 4)],
  },
  {
    what: 'a CPU fault on device memory',
    prepare: function* (w, dev) {
      yield* small(w);
      yield* dev.toDev(P, 4);
    },
    run: (w) => w.mm.cpuRead(P),
    events: [span('MIGRATE', 0, 1)],
  },
  {
    what: 'eviction',
    prepare: function* (w, dev) {
      yield* small(w);
      yield* dev.toDev(P, 1);
    },
    run: (_w, dev) => dev.release(),
    events: [span('CLEAR', 0, 1)],
  },
  {
    what: 'make_device_exclusive',
    prepare: small,
    run: (_w, dev) => dev.file.exclusive(P, 1),
    events: [span('EXCLUSIVE', 0, 1)],
  },
  {
    what: 'the end of exclusivity',
    prepare: function* (w, dev) {
      yield* small(w);
      yield* dev.file.exclusive(P, 1);
    },
    run: (w) => w.mm.cpuRead(P),
    events: (profile) => [span(profile === 'linux-6.12' ? 'EXCLUSIVE' : 'CLEAR', 0, 1)],
  },
  {
    what: 'the OOM reaper',
    prepare: small,
    run: (w) => oomReap(w.mm),
    events: (profile) => [span(profile === 'linux-6.12' ? 'UNMAP' : 'CLEAR', 0, 4)],
  },
  {
    what: 'a reading pin of shared memory',
    prepare: function* (w) {
      yield* small(w);
      yield* forked(w.mm);
    },
    run: function* (w) {
      const pfns = new Float64Array(1);
      expect(yield* pinUserPages(w.mm, P, pfns)).toBe(1);
      unpinUserPages(w.folios, pfns, 1);
    },
    events: [span('CLEAR', 0, 1)],
  },
  { what: 'exit', prepare: small, run: (w) => w.mm.exit(), events: [`RELEASE 0..${2 ** 52}`] },
];

describe.each(MEASURED)('which event an operation sends on %s', (profile) => {
  test.each(ROWS)('$what', (row) => {
    const w = new World({ profile });
    w.folios.swap.on(1024);
    const dev = new Dmirror(w.mm);
    const ear = new Listener();
    w.run(
      (function* () {
        yield* dev.open();
        yield* row.prepare(w, dev);
        yield* ear.open(w.mm);
        yield* row.run(w, dev);
        expect(ear.take()).toEqual(typeof row.events === 'function' ? row.events(profile) : row.events);
        yield* ear.close();
        yield* dev.close();
        for (const mm of w.folios.mms.all()) if (mm.users > 0) yield* mm.exit();
        yield* exitAll(w.folios);
      })(),
    );
    expect(w.live()).toEqual(row.lost === undefined ? [] : [`physical page: ${row.lost}`]);
  });
});

test('after writeback the device and the CPU write again only through a fault, and the file has the data', () => {
  const w = new World();
  const dev = new Dmirror(w.mm);
  w.run(
    (function* () {
      yield* dev.open();
      yield* w.map(P, 1, { ...RW, shared: true, file: true }, 5);
      expect(yield* dev.write(P, 1, 6)).toBe(0);
      expect(yield* msync(w.mm, P, 1)).toBe(1);
      expect([w.mm.isWritable(P), dev.mirror.size]).toEqual([false, 0]);
      expect(yield* msync(w.mm, P, 1)).toBe(0);
      yield* w.mm.madvisePageout(P, 1);
      expect(yield* w.mm.cpuRead(P)).toBe(6);
      expect(yield* dev.write(P, 1, 7)).toBe(0);
      expect(yield* w.mm.cpuRead(P)).toBe(7);
      yield* truncate(w.folios, w.mm.vmaLookup(P)!.mapping!, 0);
      expect(yield* w.mm.cpuRead(P)).not.toBe(7);
      yield* clearRefs(w.mm);
      yield* dev.close();
      yield* w.mm.exit();
    })(),
  );
  expect(w.machine.ledger.live()).toEqual([]);
});
