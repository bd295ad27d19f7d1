import { DMA_FAULT, IOMMU_UNMAP } from '@gpusvm/dma-iova';
import { done, EBUSY, EINVAL, ENOENT, type Task } from '@gpusvm/kernel';
import { expect, test } from 'vitest';
import { XE_SVM_INVALIDATE, XE_SVM_ZAP, XE_TLB_INVAL } from '../src/index.ts';
import { BASE, cpuTag, noStaleTranslation, gpuTag, populate, type Rig, rig, teardown } from './rig.ts';

/** Record the steps of invalidations as words. */
function steps(r: Rig): string[] {
  const seen: string[] = [];
  r.machine.trace.on(XE_SVM_INVALIDATE, (e) => seen.push(e.step));
  r.machine.trace.on(XE_SVM_ZAP, (e) => seen.push(`zap ${e.entries}`));
  r.machine.trace.on(XE_TLB_INVAL, () => seen.push('flush'));
  r.machine.trace.on(IOMMU_UNMAP, () => seen.push('iommu unmap'));
  return seen;
}

function bound(r: Rig, pages: number): void {
  r.machine.run(
    (function* (): Task<void> {
      yield* populate(r, 'anon', pages);
      yield* r.vm.bindMirror(BASE, pages);
      expect(yield* r.xe.gpu.gpuAccessRange(r.vm, BASE, BASE + pages, 'write')).toBe(0);
      for (let page = BASE; page < BASE + pages; page++) r.xe.gpu.tryGpuRead(r.vm, page);
    })(),
  );
}

test('munmap zeroes entries, then passes the barrier, then flushes, then unmaps, then ends', () => {
  const r = rig({ xe: { devmem: false } });
  bound(r, 512);
  const seen = steps(r);
  r.machine.run(r.mm.munmap(BASE, 512));
  const order = seen.filter((step, i) => step !== seen[i - 1]);
  expect(order.slice(0, 6)).toEqual(['begin', 'zap 1', 'barrier', 'flush', 'unmap', 'iommu unmap']);
  expect(order).toContain('end');
  expect(r.machine.run(r.xe.gpu.gpuRead(r.vm, BASE))).toBe(-ENOENT);
  expect(teardown(r)).toEqual([]);
});

test('after munmap the garbage collector gives the page tables back without another fault', () => {
  const r = rig({ xe: { devmem: false, chunkPages: [16, 1] } });
  const before = r.xe.pt.inUse;
  bound(r, 64);
  expect(r.xe.pt.inUse).toBe(before + 3);
  r.machine.run(r.mm.munmap(BASE, 64));
  expect([r.xe.pt.inUse, r.vm.garbage.length]).toEqual([before, 0]);
  expect(r.machine.run(r.vm.unbindMirror(BASE, 64))).toBe(0);
  expect(teardown(r)).toEqual([]);
});

test('an area with live ranges cannot be unbound', () => {
  const r = rig({ xe: { devmem: false } });
  bound(r, 16);
  expect(r.machine.run(r.vm.unbindMirror(BASE, 16))).toBe(-EBUSY);
  expect(r.machine.run(r.vm.unbindMirror(BASE, 8))).toBe(-EINVAL);
  expect(r.xe.gpu.tryGpuRead(r.vm, BASE)).toBe(cpuTag(BASE));
  expect(teardown(r)).toEqual([]);
});

test('mprotect to read-only takes the entries away, keeps the range, and a write then fails', () => {
  const r = rig({ xe: { devmem: false } });
  bound(r, 16);
  const seen = steps(r);
  r.machine.run(r.mm.mprotect(BASE, 16, { read: true, write: false }));
  const order = seen.filter((step, i) => step !== seen[i - 1]);
  expect(order.slice(0, 5)).toEqual(['begin', 'zap 16', 'barrier', 'flush', 'unmap']);
  expect(r.vm.garbage).toEqual([]);
  noStaleTranslation(r);
  expect(r.xe.gpu.tryGpuWrite(r.vm, BASE, 1)).toBe(false);
  expect(teardown(r)).toEqual([]);
});

test('an invalidation of what is not mapped flushes nothing', () => {
  const r = rig({ xe: { devmem: false } });
  bound(r, 16);
  r.machine.run(r.mm.mprotect(BASE, 16, { read: true, write: false }));
  const seen = steps(r);
  r.machine.run(r.mm.mprotect(BASE, 16, { read: true, write: true }));
  expect(seen).not.toContain('flush');
  expect(seen).not.toContain('iommu unmap');
  expect(teardown(r)).toEqual([]);
});

test('a part of a 2M range is unmapped: the whole range goes, the rest faults again with its data', () => {
  for (const devmem of [false, true]) {
    const r = rig({ xe: { devmem } });
    bound(r, 512);
    r.machine.run(
      (function* (): Task<void> {
        expect(yield* r.mm.munmap(BASE + 128, 64)).toBe(0);
        for (let page = BASE; page < BASE + 512; page++) expect(r.xe.gpu.tryGpuRead(r.vm, page)).toBe(-1);
        for (let page = BASE; page < BASE + 512; page++) {
          const tag = yield* r.xe.gpu.gpuRead(r.vm, page);
          const gone = page >= BASE + 128 && page < BASE + 192;
          expect(tag).toBe(gone ? -ENOENT : cpuTag(page));
        }
        noStaleTranslation(r);
        expect(yield* r.xe.gpu.gpuWrite(r.vm, BASE + 5, gpuTag(5))).toBe(0);
        expect(yield* r.mm.cpuRead(BASE + 5)).toBe(gpuTag(5));
        expect(yield* r.mm.cpuRead(BASE + 300)).toBe(cpuTag(BASE + 300));
      })(),
    );
    expect(teardown(r)).toEqual([]);
  }
});

test('without the TLB flush the GPU goes on using an address that the IOMMU no longer has: a DMA fault tells', () => {
  const r = rig({ iommu: 'strict', xe: { devmem: false } });
  bound(r, 16);
  r.xe.ops.flushTlb = () => done(undefined);
  let faults = 0;
  r.machine.trace.on(DMA_FAULT, () => faults++);
  r.machine.run(r.mm.munmap(BASE, 16));
  expect(r.xe.gpu.tryGpuRead(r.vm, BASE)).toBe(-1);
  expect(faults).toBe(1);
  expect(() => noStaleTranslation(r)).toThrow('stale translation');
  expect(teardown(r)).toEqual([]);
});

test('without the TLB flush and without an IOMMU the GPU reads and corrupts memory that belongs to somebody else', () => {
  const r = rig({ iommu: 'none', xe: { devmem: false }, memoryPages: 512 });
  bound(r, 16);
  r.xe.ops.flushTlb = () => done(undefined);
  r.machine.run(r.mm.munmap(BASE, 16));
  const other = 512 * 9000;
  r.machine.run(
    (function* (): Task<void> {
      yield* r.mm.mmap(other, 400, { read: true, write: true });
      for (let page = other; page < other + 400; page++) yield* r.mm.cpuWrite(page, 77);
    })(),
  );
  expect(r.xe.gpu.tryGpuRead(r.vm, BASE)).toBe(77);
  expect(r.xe.gpu.tryGpuWrite(r.vm, BASE, 666)).toBe(true);
  let corrupted = 0;
  for (let page = other; page < other + 400; page++) if (r.mm.tryReadTag(page) !== 77) corrupted++;
  expect(corrupted).toBe(1);
  expect(teardown(r)).toEqual([]);
});

test('without the zap the page table brings the stale translation back after the flush', () => {
  const r = rig({ iommu: 'strict', xe: { devmem: false } });
  bound(r, 16);
  const correct = { ...r.xe.ops };
  r.xe.ops.zapPtes = () => 1;
  r.machine.run(r.mm.mprotect(BASE, 16, { read: true, write: false }));
  expect(() => noStaleTranslation(r)).toThrow('stale translation');
  expect(r.machine.run(r.xe.gpu.gpuRead(r.vm, BASE))).toBeLessThan(0);
  Object.assign(r.xe.ops, correct);
  expect(teardown(r)).toEqual([]);
});

test('a fault on an address outside every area, of a dead address space or without memory ends in an errno', () => {
  const r = rig();
  r.machine.run(
    (function* (): Task<void> {
      expect(yield* r.xe.gpu.gpuRead(r.vm, 5)).toBe(-EINVAL);
      yield* r.vm.bindMirror(BASE, 16);
      expect(yield* r.xe.gpu.gpuRead(r.vm, BASE)).toBe(-ENOENT);
      expect(r.vm.faults.length).toBe(2);
      yield* r.vm.close();
      expect(yield* r.xe.gpu.gpuRead(r.vm, BASE)).toBe(-EINVAL);
    })(),
  );
  expect(teardown(r)).toEqual([]);
});
