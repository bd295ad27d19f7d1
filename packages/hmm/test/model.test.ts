import { EFAULT, ENOMEM, type KernelProfileName, type Task } from '@gpusvm/kernel';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { audit } from './support/audit.ts';
import { Dmirror } from './support/dmirror.ts';
import { changeProtNuma, type Mm } from '../src/index.ts';
import { block, forked, MEASURED, World } from './support/world.ts';

/** The ops work on 8 places: single pages, and pages spread over a 2 MiB that may be huge. */
const FIRST = block(8);
const PAGES = 1024;
const PLACES = [0, 1, 2, 3, 512, 513, 767, 1023];

type Op =
  | { op: 'mmap'; from: number; to: number; write: boolean; huge: boolean }
  | {
      op: 'munmap' | 'toDev' | 'toSys' | 'dontneed' | 'pageout' | 'collapse' | 'numa';
      from: number;
      to: number;
    }
  | { op: 'mprotect'; from: number; to: number; read: boolean; write: boolean }
  | { op: 'write' | 'read' | 'devRead' | 'devWrite'; at: number; tag: number }
  | { op: 'evict' | 'fork' };

const bound = fc.constantFrom(0, 1, 2, 4, 512, 514, 768, 1024);
const at = fc.constantFrom(...PLACES);
const range = fc
  .tuple(bound, bound)
  .map(([a, b]) => ({ from: Math.min(a, b), to: Math.max(a, b) + (a === b ? 1 : 0) }));
const clip = (r: { from: number; to: number }) => ({
  from: Math.min(r.from, PAGES - 1),
  to: Math.min(r.to, PAGES),
});
const anyOp: fc.Arbitrary<Op> = fc.oneof(
  fc
    .record({ r: range, write: fc.boolean(), huge: fc.boolean() })
    .map((o): Op => ({ op: 'mmap', ...clip(o.r), write: o.write, huge: o.huge })),
  fc
    .record({
      r: range,
      op: fc.constantFrom(
        'munmap',
        'toDev',
        'toDev',
        'toSys',
        'dontneed',
        'pageout',
        'pageout',
        'collapse',
        'numa',
      ),
    })
    .map((o): Op => ({ op: o.op, ...clip(o.r) })),
  fc
    .record({ r: range, read: fc.boolean(), write: fc.boolean() })
    .map((o): Op => ({ op: 'mprotect', ...clip(o.r), read: o.read || o.write, write: o.write })),
  fc
    .record({
      op: fc.constantFrom('write', 'write', 'read', 'devRead', 'devWrite'),
      at,
      tag: fc.integer({ min: 1, max: 99 }),
    })
    .map((o): Op => o),
  fc.constantFrom<Op>({ op: 'evict' }, { op: 'fork' }),
);

interface Expected {
  read: boolean;
  write: boolean;
  tag: number;
}

/** The real thing beside a Map from page to what must be there. */
class Pair {
  readonly world: World;
  readonly dev: Dmirror;
  readonly model = new Map<number, Expected>();
  /** Children with what they must see: the parent at the time of the fork. */
  readonly children: { mm: Mm; model: Map<number, Expected> }[] = [];

  constructor(profile: KernelProfileName) {
    this.world = new World({ profile, pages: 8192 });
    this.dev = new Dmirror(this.world.mm, 8192);
    this.world.folios.swap.on(2048);
  }

  *apply(op: Op): Task<void> {
    const { mm } = this.world;
    switch (op.op) {
      case 'mmap': {
        const taken = this.#pages(op).some((p) => this.model.has(p));
        const err = yield* mm.mmap(FIRST + op.from, op.to - op.from, {
          read: true,
          write: op.write,
          hugepage: op.huge,
        });
        expect(err !== 0).toBe(taken);
        if (!taken)
          for (const p of this.#pages(op)) this.model.set(p, { read: true, write: op.write, tag: 0 });
        break;
      }
      case 'munmap':
        expect(yield* mm.munmap(FIRST + op.from, op.to - op.from)).toBe(0);
        for (const p of this.#pages(op)) this.model.delete(p);
        break;
      case 'dontneed':
        expect(yield* mm.madviseDontneed(FIRST + op.from, op.to - op.from)).toBe(
          this.#allMapped(op) ? 0 : -ENOMEM,
        );
        for (const p of this.#pages(op)) if (this.model.has(p)) this.model.get(p)!.tag = 0;
        break;
      case 'mprotect':
        yield* this.#mprotect(op);
        break;
      case 'toDev':
        yield* this.dev.toDev(FIRST + op.from, op.to - op.from);
        break;
      case 'toSys':
        yield* this.dev.migrateToSys(FIRST + op.from, op.to - op.from);
        break;
      case 'evict':
        yield* this.dev.release();
        break;
      case 'pageout':
        expect(yield* mm.madvisePageout(FIRST + op.from, op.to - op.from)).toBe(
          this.#allMapped(op) ? 0 : -ENOMEM,
        );
        break;
      case 'collapse':
        yield* mm.madviseCollapse(FIRST + op.from, op.to - op.from);
        break;
      case 'numa':
        yield* changeProtNuma(mm, FIRST + op.from, FIRST + op.to);
        break;
      case 'fork':
        yield* this.#fork();
        break;
      case 'read':
      case 'write':
      case 'devRead':
      case 'devWrite':
        yield* this.#access(op);
    }
  }

  *#mprotect(op: Op & { op: 'mprotect' }): Task<void> {
    const err = yield* this.world.mm.mprotect(FIRST + op.from, op.to - op.from, {
      read: op.read,
      write: op.write,
    });
    expect(err).toBe(this.#allMapped(op) ? 0 : -ENOMEM);
    for (const p of this.#pages(op)) {
      const page = this.model.get(p);
      if (page === undefined) break;
      page.read = op.read;
      page.write = op.write;
    }
  }

  *#access(op: Op & { op: 'write' | 'read' | 'devRead' | 'devWrite' }): Task<void> {
    const { mm } = this.world;
    const page = FIRST + op.at;
    const want = this.model.get(op.at);
    if (op.op === 'read') {
      expect(yield* mm.cpuRead(page)).toBe(want?.read === true ? want.tag : -EFAULT);
    } else if (op.op === 'write') {
      expect(yield* mm.cpuWrite(page, op.tag)).toBe(want?.write === true ? 0 : -EFAULT);
      if (want?.write === true) want.tag = op.tag;
    } else if (op.op === 'devRead') {
      const got = yield* this.dev.read(page, 1);
      expect(got).toEqual(want?.read === true ? [want.tag] : -EFAULT);
    } else {
      // Finding F1: an own device page that was read-only once cannot be written by the device.
      const stuck = mm.entryKind(page) === 'device-private' && !mm.isWritable(page);
      const err = yield* this.dev.write(page, 1, op.tag);
      if (want?.write === true && !stuck) expect(err).toBe(0);
      else expect(err).toBeLessThan(0);
      if (err === 0) want!.tag = op.tag;
    }
  }

  /** The second child replaces the first, which must still see what it saw when it was born. */
  *#fork(): Task<void> {
    yield* this.verifyChildren();
    const model = new Map([...this.model].map(([p, e]) => [p, { ...e }]));
    this.children.push({ mm: yield* forked(this.world.mm), model });
  }

  *verify(): Task<void> {
    yield* this.#verifyIn(this.world.mm, this.model);
  }

  *verifyChildren(): Task<void> {
    for (const { mm, model } of this.children.splice(0)) {
      yield* this.#verifyIn(mm, model);
      for (const [p, want] of model) if (want.write && p % 3 === 0) yield* mm.cpuWrite(FIRST + p, 5);
      yield* mm.exit();
    }
  }

  *#verifyIn(mm: Mm, model: Map<number, Expected>): Task<void> {
    for (const [p, want] of model) {
      if (want.read && PLACES.includes(p)) expect(yield* mm.cpuRead(FIRST + p)).toBe(want.tag);
    }
  }

  #pages(op: { from: number; to: number }): number[] {
    return Array.from({ length: op.to - op.from }, (_, i) => op.from + i);
  }

  #allMapped(op: { from: number; to: number }): boolean {
    return this.#pages(op).every((p) => this.model.has(p));
  }
}

describe.each(MEASURED)('random operations on %s', (profile) => {
  test('agree with a map of pages, keep all counts consistent, and leave nothing behind', () => {
    fc.assert(
      fc.property(fc.array(anyOp, { minLength: 5, maxLength: 25 }), (ops) => {
        const pair = new Pair(profile);
        const { world, dev } = pair;
        world.run(
          (function* () {
            yield* dev.open();
            for (const op of ops) {
              yield* pair.apply(op);
              expect(dev.stale()).toEqual([]);
            }
            expect(audit(world.folios)).toEqual([]);
            yield* pair.verifyChildren();
            yield* pair.verify();
            expect(audit(world.folios)).toEqual([]);
            yield* dev.close();
            yield* world.mm.exit();
          })(),
        );
        expect(world.machine.ledger.live()).toEqual([]);
        expect(dev.liveReferences).toBe(0);
      }),
      { seed: 20261124, numRuns: 120 },
    );
  });
});
