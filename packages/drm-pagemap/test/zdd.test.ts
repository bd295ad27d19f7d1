import { describe, expect, test } from 'vitest';
import { drmPagemapDevmemRelease } from '../src/devmem.ts';
import { DrmPagemap } from '../src/pagemap.ts';
import { drmPagemapPageZdd, Zdd } from '../src/zdd.ts';
import { Host } from './fake-gpu.ts';

describe('zone device data', () => {
  test('goes with its last reference: detached first, then the release, then the pagemap reference', () => {
    const host = new Host();
    const gpu = host.gpu();
    const devmem = gpu.alloc(1)!;
    const zdd = new Zdd(devmem);
    zdd.getFolio();
    zdd.putMigration();
    expect([devmem.detached.isDone, devmem.released, gpu.pagemap.ref.describe()]).toEqual([
      false,
      false,
      'driver 1, zdd 1',
    ]);
    zdd.putFolio();
    expect([devmem.detached.isDone, devmem.released, gpu.pagemap.ref.describe()]).toEqual([
      true,
      true,
      'driver 1',
    ]);
    host.tearDown();
    expect(host.machine.ledger.live()).toEqual([]);
  });

  test('a reference too many or too few is refused', () => {
    const zdd = new Zdd(new Host().gpu().alloc(1)!);
    expect(() => zdd.putFolio()).toThrow(/does not hold/);
    zdd.putMigration();
    expect(() => zdd.putMigration()).toThrow(/no migration/);
    expect(() => zdd.getFolio()).toThrow(/after its release/);
  });

  test('an allocation is released once', () => {
    const devmem = new Host().gpu().alloc(1)!;
    drmPagemapDevmemRelease(devmem);
    expect(() => drmPagemapDevmemRelease(devmem)).toThrow(/released twice/);
  });

  test('a page of RAM has none', () => {
    const host = new Host();
    host.mmap(512, 1, [512]);
    expect(() => drmPagemapPageZdd(host.folios, host.mm.pfnAt(512))).toThrow(TypeError);
  });
});

describe('a pagemap', () => {
  test('lives in the ledger until its last reference, with who holds it, and is destroyed then', () => {
    const host = new Host();
    const gpu = host.gpu();
    gpu.pagemap.get('vma');
    expect(gpu.pagemap.put('driver')).toBe(false);
    expect(host.machine.ledger.live()).toContainEqual({ kind: 'pagemap', count: 1, detail: 'gpu: vma 1' });
    expect(gpu.destroyed).toBe(0);
    expect(gpu.pagemap.put('vma')).toBe(true);
    expect(gpu.destroyed).toBe(1);
  });

  test('gets its page structures once, before they are needed', () => {
    const gpu = new Host().gpu();
    const pagemap = new DrmPagemap(gpu.host.machine, {
      name: 'late',
      device: gpu.device,
      ops: gpu.pagemap.ops,
    });
    expect(() => pagemap.owner).toThrow(/no page structures yet/);
    pagemap.devPagemap = gpu.devPagemap;
    expect(pagemap.owner).toBe(gpu.host.owner);
    expect(() => (pagemap.devPagemap = gpu.devPagemap)).toThrow(/already/);
  });
});
