import type { Task } from '@gpusvm/kernel';
import { expect, test } from 'vitest';
import { audit } from './support/audit.ts';
import { block, RO, RW, World } from './support/world.ts';

const P = block(8);

function check(body: (w: World) => Task<void>): void {
  const w = new World();
  w.run(body(w));
  expect(audit(w.folios)).toEqual([]);
  w.run(w.mm.exit());
  expect(w.machine.ledger.live()).toEqual([]);
}

test('a whole 2 MiB folio is mapped by a PMD where it is aligned, by entries where it is not', () => {
  check(function* (w) {
    yield* w.map(P, 2048, RW);
    expect(w.memory.claimPages(1024, 9) && w.memory.claimPages(2048, 9)).toBe(true);
    w.mm.installFolio(P, 1024, 9);
    w.mm.installFolio(P + 513, 2048, 9);
    expect([w.mm.isPmdMapped(P), w.mm.isPmdMapped(P + 513)]).toEqual([true, false]);
    expect([w.folios.mapcount(1024), w.folios.mapcount(2048), w.folios.refcount(2048)]).toEqual([
      1, 512, 512,
    ]);
    expect(w.mm.pfnAt(P + 700)).toBe(2048 + 187);
    expect(yield* w.mm.cpuWrite(P + 700, 4)).toBe(0);
    expect(w.memory.readTag(2048 + 187)).toBe(4);
  });
});

test('a run may begin inside a folio, and the folio is freed whole with its last page', () => {
  check(function* (w) {
    yield* w.map(P, 100, RW);
    w.memory.claimPages(1024, 6);
    const free = w.memory.freePages;
    w.mm.installRun(P + 3, 1024 + 10, 20, 6);
    w.mm.installRun(P + 50, 1024 + 40, 5, 6);
    expect([w.folios.head(1024 + 12), w.folios.order(1024 + 12)]).toEqual([1024, 6]);
    expect([w.folios.refcount(1024), w.folios.mapcount(1024)]).toEqual([25, 25]);
    yield* w.mm.munmap(P, 40);
    expect([w.folios.refcount(1024), w.memory.freePages]).toEqual([5, free]);
    yield* w.mm.munmap(P, 100);
    expect(w.memory.freePages).toBe(free + 64);
  });
});

test('a run of order 0 places single pages, a zero run places the zero page', () => {
  check(function* (w) {
    yield* w.map(P, 1024, RW);
    for (let i = 0; i < 8; i++) w.memory.claimPages(3000 + i, 0);
    w.mm.installRun(P, 3000, 8, 0);
    w.mm.installRun(P + 8, -1, 4, 0, { zero: true });
    w.mm.installRun(P + 512, -1, 512, 9, { zero: true });
    expect(w.mm.entryCounts()).toMatchObject({ present: 8, zero: 516, device: 0, migration: 0 });
    expect(w.mm.isPmdMapped(P + 512)).toBe(true);
    expect(yield* w.mm.cpuRead(P + 9)).toBe(0);
    yield* w.mm.munmap(P, 4);
  });
});

test('a read-only anonymous page in a writable VMA reuses its page when nobody else has it', () => {
  check(function* (w) {
    yield* w.map(P, 2, RW);
    w.memory.claimPages(3000, 0);
    w.mm.installRun(P, 3000, 1, 0, { readOnly: true });
    w.mm.installRun(P + 1, 3000, 1, 0, { readOnly: true });
    expect(w.folios.mapcount(3000)).toBe(2);
    yield* w.mm.cpuWrite(P, 5);
    expect(w.mm.pfnAt(P)).not.toBe(3000);
    expect(yield* w.mm.cpuRead(P + 1)).toBe(0);
    yield* w.mm.cpuWrite(P + 1, 6);
    expect(w.mm.pfnAt(P + 1)).toBe(3000);
  });
});

test('pages of a file mapping join the page cache, where other mappings of the file find them', () => {
  check(function* (w) {
    const file = { ...RO, file: true, fileKey: 'lib' };
    yield* w.map(P, 4, file);
    yield* w.map(P + 8, 4, file);
    w.memory.claimPages(3004, 2);
    w.memory.writeTag(3005, 9);
    w.mm.installRun(P, 3004, 4, 2, { readOnly: true });
    expect(yield* w.mm.cpuRead(P + 9)).toBe(9);
    expect(w.mm.pfnAt(P + 9)).toBe(3005);
    // The other mapping got all four around the fault.
    expect([w.folios.refcount(3004), w.folios.mapcount(3004), w.folios.isAnon(3004)]).toEqual([9, 8, false]);
  });
});

test('a private file mapping shows its own copies unless they are read-only, a shared one the cache', () => {
  check(function* (w) {
    yield* w.map(P, 4, { ...RW, file: true, fileKey: 'data' });
    yield* w.map(P + 8, 4, { ...RW, file: true, fileKey: 'data', shared: true });
    for (let i = 0; i < 2; i++) w.memory.claimPages(3000 + i, 0);
    w.mm.installRun(P, 3000, 1, 0);
    w.mm.installRun(P + 9, 3001, 1, 0);
    expect([w.folios.isAnon(3000), w.folios.isAnon(3001)]).toEqual([true, false]);
    expect([w.mm.isWritable(P), w.mm.isWritable(P + 9)]).toEqual([true, true]);
    yield* w.mm.cpuWrite(P + 9, 4);
    expect(yield* w.mm.cpuRead(P + 1)).toBe(4);
  });
});

test('placing outside of a VMA, on something, or with another order is refused', () => {
  check(function* (w) {
    yield* w.map(P, 4, RW);
    w.memory.claimPages(3000, 1);
    expect(() => w.mm.installRun(P + 3, 3000, 2, 1)).toThrow(RangeError);
    expect(() => w.mm.installRun(P, -1, 1, 0)).toThrow(/not RAM/);
    w.mm.installRun(P, 3000, 2, 1);
    expect(() => w.mm.installRun(P + 1, 3000, 1, 1)).toThrow(/populated already/);
    expect(() => w.mm.installRun(P + 2, 3000, 1, 0)).toThrow(/order 1, not 0/);
  });
});
