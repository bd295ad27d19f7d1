import type { Task } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import { DevPagemap, type DevPagemapOps, zoneDevicePageInit } from '../src/index.ts';
import { PageTable } from '../src/page-table.ts';
import { World } from './support/world.ts';

const OPS: DevPagemapOps = {
  // biome-ignore lint: nothing to wait for
  *migrateToRam(): Task<number> {
    return 0;
  },
  folioFree() {},
};

describe('folios of RAM', () => {
  test('are aligned blocks with one reference whose last put frees them', () => {
    const w = new World();
    const head = w.folios.allocFolio(3);
    expect([head & 7, w.folios.order(head + 5), w.folios.head(head + 5), w.folios.refcount(head)]).toEqual([
      0,
      3,
      head,
      1,
    ]);
    w.folios.get(head);
    w.folios.put(head);
    expect(w.folios.refcount(head)).toBe(1);
    w.folios.put(head);
    expect(w.memory.freePages).toBe(8191);
    expect(() => w.folios.put(head)).toThrow(/free pfn/);
    expect(() => w.folios.get(head)).toThrow(/free pfn/);
  });

  test('cannot be freed locked', () => {
    const w = new World();
    const head = w.folios.allocFolio(0);
    w.folios.trylock(head);
    expect(() => w.folios.put(head)).toThrow(/locked/);
  });

  test('are locked by one task at a time', () => {
    const w = new World();
    const head = w.folios.allocFolio(0);
    const order: number[] = [];
    const task = function* (n: number): Task<void> {
      yield* w.folios.lock(head);
      order.push(n);
      yield { kind: 'point', name: 'inside' };
      order.push(n);
      w.folios.unlock(head);
    };
    w.machine.spawn(task(1), 'one');
    w.machine.spawn(task(2), 'two');
    w.machine.drain();
    expect(order).toEqual([1, 1, 2, 2]);
    expect(() => w.folios.unlock(head)).toThrow(/not locked/);
    w.folios.put(head);
    expect(w.live()).toEqual(['mm: 1']);
  });

  test('count GUP pins apart', () => {
    const w = new World();
    const head = w.folios.allocFolio(0);
    w.folios.pin(head);
    w.folios.pin(head);
    expect([w.folios.pinCount(head), w.folios.refcount(head)]).toEqual([2, 3]);
    w.folios.unpin(head);
    w.folios.unpin(head);
    expect(() => w.folios.unpin(head)).toThrow(/not pinned/);
    w.folios.put(head);
    expect(w.live()).toEqual(['mm: 1']);
  });
});

describe('windows of device memory', () => {
  test('follow RAM, aligned to 2 MiB, and hold pages the CPU cannot reach', () => {
    const w = new World({ pages: 1000 });
    const a = new DevPagemap(w.folios, { type: 'private', owner: {}, pages: 100, ops: OPS });
    const b = new DevPagemap(w.folios, { type: 'private', owner: {}, pages: 512, ops: OPS });
    expect([a.basePfn, b.basePfn]).toEqual([1024, 1536]);
    expect([w.folios.pagemapOf(1100), w.folios.pagemapOf(1536), w.folios.pagemapOf(5)]).toEqual([a, b, null]);
    const zdd = {};
    zoneDevicePageInit(w.folios, 1536, b, 9, zdd);
    expect([w.folios.isLocked(1536), w.folios.refcount(1536), w.folios.zoneDeviceData(1536)]).toEqual([
      true,
      1,
      zdd,
    ]);
    expect(b.liveReferences).toBe(512);
    expect(() => b.remove()).toThrow(/512 live pages/);
    expect(() => zoneDevicePageInit(w.folios, 1540, b, 0, null)).toThrow(/in use/);
    w.folios.unlock(1536);
    w.folios.put(1536);
    b.remove();
    expect(() => zoneDevicePageInit(w.folios, 1536, b, 0, null)).toThrow(/removed/);
    expect(() => zoneDevicePageInit(w.folios, 1025, a, 1, null)).toThrow(RangeError);
    expect(w.live()).toEqual(['mm: 1']);
  });

  test('that are coherent have contents, private ones have none', () => {
    const w = new World();
    const device = new DevPagemap(w.folios, {
      type: 'coherent',
      owner: {},
      pages: 4,
      ops: { folioFree: () => {} },
    });
    w.folios.writeTag(device.basePfn + 3, 7);
    expect(w.folios.readTag(device.basePfn + 3)).toBe(7);
    expect([w.folios.isDeviceCoherent(device.basePfn), w.folios.isDevicePrivate(device.basePfn)]).toEqual([
      true,
      false,
    ]);
    const hidden = new DevPagemap(w.folios, { type: 'private', owner: {}, pages: 4, ops: OPS });
    expect(() => w.folios.readTag(hidden.basePfn)).toThrow(RangeError);
  });
});

describe('the radix tree of PMD entries', () => {
  test('finds nodes in order across its levels and forgets empty ones', () => {
    const table = new PageTable();
    const indexes = [3, 511, 512, 2 ** 18 - 1, 2 ** 18, 2 ** 30 + 5, 2 ** 35];
    for (const index of [...indexes].reverse()) table.makeTable(index);
    const seen: number[] = [];
    for (let node = table.next(0, 2 ** 36); node !== null; node = table.next(node.index + 1, 2 ** 36))
      seen.push(node.index);
    expect(seen).toEqual(indexes);
    expect(table.next(513, 2 ** 18 - 1)).toBeNull();
    expect(table.next(4, 512)?.index).toBe(511);
    for (const index of indexes) table.remove(table.lookup(index)!);
    expect([table.nodeCount, table.next(0, 2 ** 36), table.lookup(512)]).toEqual([0, null, null]);
  });

  test('hands a recycled table out empty', () => {
    const table = new PageTable();
    const node = table.makeTable(1);
    node.bits.fill(1);
    table.remove(node);
    expect(table.makeTable(2).bits.every((b) => b === 0)).toBe(true);
  });
});
