import { EFAULT, EINVAL, EIO, ENOENT, EPERM, type Errno, random, type Task } from '@gpusvm/kernel';
import { Mm } from '@gpusvm/hmm';
import { expect, test, vi } from 'vitest';
import { evictVram, XeVm } from '../src/index.ts';
import { mustBe, BASE, cpuTag, noStaleTranslation, gpuTag, type Rig, rig, teardown } from './rig.ts';

// Many runs a test; a machine that others use as well may need more than the default five seconds.
vi.setConfig({ testTimeout: 120_000 });

const SEEDS = 200;
const PAGES = 32;
/** Pages that the actors pick from: first, middle, end, and both sides of a 64K border. */
const PICKED = [0, 3, 15, 16, 20, 31];

type Actor = (r: Rig) => Task<void>;

/** Run actors against each other under many schedules; afterwards the GPU has no stale translation, nothing is left. */
function race(actors: readonly Actor[], check: (r: Rig) => void, o: Parameters<typeof rig>[0] = {}): void {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const xe = { chunkPages: [16, 1], tlbSlots: 2, eus: 1, engines: 3, devmem: seed % 2 === 0, ...o.xe };
    const r = rig({ memoryPages: 1024, vramPages: 64, ...o, xe, seed, strategy: random() });
    r.machine.run(setUp(r), 'set-up');
    actors.forEach((actor, i) => r.machine.spawn(actor(r), `actor ${i}`));
    r.machine.drain();
    noStaleTranslation(r);
    check(r);
    expect(teardown(r)).toEqual([]);
  }
}

function* setUp(r: Rig): Task<void> {
  yield* r.mm.mmap(BASE, PAGES, { read: true, write: true });
  for (let page = BASE; page < BASE + PAGES; page++) yield* r.mm.cpuWrite(page, cpuTag(page));
  yield* r.vm.bindMirror(BASE, PAGES);
}

/** Errnos that an access may end in when the memory under it changes. */
const EXPECTED: readonly Errno[] = [-ENOENT, -EFAULT, -EPERM, -EIO, -EINVAL];

/** The GPU reads, and writes every second page; values must be the old or the new ones. */
function gpuToucher(touch: readonly number[]): Actor {
  return function* (r) {
    for (const offset of touch) {
      const page = BASE + offset;
      const tag = yield* r.xe.gpu.gpuRead(r.vm, page);
      const allowed = tag < 0 ? EXPECTED : [cpuTag(page), gpuTag(page), 0];
      mustBe(allowed.includes(tag), true, `GPU read ${tag} from page ${offset}`);
      if (offset % 2 !== 0) continue;
      const err = yield* r.xe.gpu.gpuWrite(r.vm, page, gpuTag(page));
      mustBe(err === 0 || EXPECTED.includes(err), true, `GPU write to page ${offset} ended in ${err}`);
    }
  };
}

test('GPU faults against munmap: what is unmapped is gone, what is left is right', () => {
  race(
    [
      gpuToucher(PICKED),
      gpuToucher([20, 3, 0]),
      function* (r) {
        expect(yield* r.mm.munmap(BASE + 8, 12)).toBe(0);
      },
    ],
    (r) => {
      r.machine.run(
        (function* (): Task<void> {
          expect(yield* r.xe.gpu.gpuRead(r.vm, BASE + 10)).toBe(-ENOENT);
          for (const offset of [0, 3, 20, 31]) {
            const tag = yield* r.mm.cpuRead(BASE + offset);
            expect(tag).toBe(offset % 2 === 0 ? gpuTag(BASE + offset) : cpuTag(BASE + offset));
          }
        })(),
      );
    },
  );
});

test('GPU faults against mprotect: nothing writes through a read-only mapping, and all is well afterwards', () => {
  race(
    [
      gpuToucher(PICKED),
      function* (r) {
        for (let n = 0; n < 2; n++) {
          expect(yield* r.mm.mprotect(BASE, PAGES, { read: true, write: false })).toBe(0);
          noStaleTranslation(r);
          expect(yield* r.mm.mprotect(BASE, PAGES, { read: true, write: true })).toBe(0);
        }
      },
    ],
    (r) => {
      r.machine.run(
        (function* (): Task<void> {
          for (const offset of PICKED) {
            const page = BASE + offset;
            expect(yield* r.xe.gpu.gpuWrite(r.vm, page, 7)).toBe(0);
            expect(yield* r.mm.cpuRead(page)).toBe(7);
          }
        })(),
      );
    },
  );
});

test('GPU and CPU write different pages of the same ranges: every page has its last value', () => {
  race(
    [
      function* (r) {
        for (let n = 1; n <= 3; n++) {
          for (const offset of [0, 15, 16, 31])
            expect(yield* r.xe.gpu.gpuWrite(r.vm, BASE + offset, n * 100 + offset)).toBe(0);
        }
      },
      function* (r) {
        for (let n = 1; n <= 3; n++) {
          for (const offset of [1, 14, 17, 30])
            expect(yield* r.mm.cpuWrite(BASE + offset, n * 1000 + offset)).toBe(0);
        }
      },
    ],
    (r) => {
      r.machine.run(
        (function* (): Task<void> {
          for (const offset of [0, 15, 16, 31]) expect(yield* r.mm.cpuRead(BASE + offset)).toBe(300 + offset);
          for (const offset of [1, 14, 17, 30]) {
            expect(yield* r.xe.gpu.gpuRead(r.vm, BASE + offset)).toBe(3000 + offset);
          }
          expect(yield* r.mm.cpuRead(BASE + 5)).toBe(cpuTag(BASE + 5));
        })(),
      );
    },
  );
});

test('eviction, GPU faults and CPU faults at the same time lose nothing', () => {
  race(
    [
      gpuToucher([0, 16, 4, 20]),
      function* (r) {
        yield* evictVram(r.xe, r.xe.vram.pages);
        yield* evictVram(r.xe, r.xe.vram.pages);
      },
      function* (r) {
        for (const offset of [1, 17, 31])
          expect(yield* r.mm.cpuRead(BASE + offset)).toBe(cpuTag(BASE + offset));
      },
    ],
    (r) => {
      r.machine.run(
        (function* (): Task<void> {
          for (let page = BASE; page < BASE + PAGES; page++) {
            const touched = [0, 16, 4, 20].includes(page - BASE);
            expect(yield* r.mm.cpuRead(page)).toBe(touched ? gpuTag(page) : cpuTag(page));
          }
        })(),
      );
    },
    { vramPages: 16, xe: { devmem: true } },
  );
});

test('closing the address space against faults and munmap leaves nothing behind', () => {
  race(
    [
      gpuToucher(PICKED),
      function* (r) {
        yield* r.vm.close();
      },
      function* (r) {
        yield* r.mm.munmap(BASE + 4, 20);
      },
    ],
    (r) => {
      expect(r.machine.run(r.xe.gpu.gpuRead(r.vm, BASE))).toBe(-EINVAL);
      expect(r.machine.run(r.mm.cpuRead(BASE + 31))).toBe(cpuTag(BASE + 31));
    },
  );
});

test('the process exits while the GPU faults', () => {
  race(
    [
      gpuToucher(PICKED),
      function* (r) {
        yield* r.mm.exit();
      },
    ],
    (r) => {
      expect(r.machine.run(r.xe.gpu.gpuRead(r.vm, BASE))).toBeLessThan(0);
    },
  );
});

/** Write three 64K blocks, one page each, again and again. */
function* gpuWriter(r: Rig, vm: XeVm, mark: number): Task<void> {
  for (let n = 1; n <= 2; n++) {
    for (const offset of [2, 18, 34]) {
      mustBe(
        yield* r.xe.gpu.gpuWrite(vm, BASE + offset, mark + n * 100 + offset),
        0,
        `write ${n} to page ${offset}`,
      );
    }
  }
}

test('two address spaces fault at once into device memory for one block: each has its own data', () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const xe = { chunkPages: [16, 1], tlbSlots: 2, eus: 1, engines: 3 };
    const r = rig({ memoryPages: 1024, vramPages: 16, xe, seed, strategy: random() });
    const mm = new Mm(r.machine, r.folios, { name: 'other' });
    const vm = r.machine.run(XeVm.create(r.xe, mm));
    if (typeof vm === 'number') throw new Error('no VM');
    for (const [space, mirror] of [
      [r.mm, r.vm],
      [mm, vm],
    ] as const) {
      r.machine.run(
        (function* (): Task<void> {
          yield* space.mmap(BASE, 48, { read: true, write: true });
          for (let page = BASE; page < BASE + 48; page++) yield* space.cpuWrite(page, cpuTag(page));
          yield* mirror.bindMirror(BASE, 48);
        })(),
      );
    }
    r.machine.spawn(gpuWriter(r, r.vm, 10_000), 'first');
    r.machine.spawn(gpuWriter(r, vm, 20_000), 'second');
    r.machine.drain();
    noStaleTranslation(r);
    r.machine.run(
      (function* (): Task<void> {
        for (const offset of [2, 18, 34]) {
          mustBe(yield* r.mm.cpuRead(BASE + offset), 10_200 + offset, `first, page ${offset}`);
          mustBe(yield* mm.cpuRead(BASE + offset), 20_200 + offset, `second, page ${offset}`);
          mustBe(
            yield* mm.cpuRead(BASE + offset + 1),
            cpuTag(BASE + offset + 1),
            `neighbour of page ${offset}`,
          );
        }
        yield* vm.close();
        yield* mm.exit();
      })(),
    );
    expect(teardown(r)).toEqual([]);
  }
});
