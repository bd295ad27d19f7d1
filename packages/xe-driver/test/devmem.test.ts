import { EACCES, ENOSPC, EPERM, type SchedulerStrategy, type Task } from '@gpusvm/kernel';
import { expect, test } from 'vitest';
import { evictVram, XE_BO_EVICT } from '../src/index.ts';
import { BASE, cpuTag, noStaleTranslation, gpuTag, populate, type Rig, rig, teardown } from './rig.ts';

function run(r: Rig, body: (r: Rig) => Task<void>): void {
  r.machine.run(body(r));
}

test('a fault moves the range to device memory; a CPU access brings back what the GPU wrote', () => {
  const r = rig();
  run(r, function* () {
    yield* populate(r, 'thp', 512);
    yield* r.vm.bindMirror(BASE, 512);
    expect(yield* r.xe.gpu.gpuAccessRange(r.vm, BASE, BASE + 512, 'write')).toBe(0);
    expect(r.mm.devicePages).toBe(512);
    for (let page = BASE; page < BASE + 512; page++) {
      expect(r.xe.gpu.tryGpuRead(r.vm, page)).toBe(cpuTag(page));
      expect(r.xe.gpu.tryGpuWrite(r.vm, page, gpuTag(page))).toBe(true);
    }
    expect(yield* r.mm.cpuRead(BASE + 100)).toBe(gpuTag(BASE + 100));
    noStaleTranslation(r);
    expect(r.mm.devicePages).toBe(0);
    expect(yield* r.xe.gpu.gpuRead(r.vm, BASE + 101)).toBe(gpuTag(BASE + 101));
  });
  expect(r.xe.counters.get('svm_2M_migrate_count')).toBe(2);
  expect(r.machine.warnings).toBe(0);
  expect(teardown(r)).toEqual([]);
});

test('pages that nobody wrote are zero in device memory even when it was used before', () => {
  const r = rig({ vramPages: 512 });
  run(r, function* () {
    yield* populate(r, 'anon', 512);
    yield* r.vm.bindMirror(BASE, 1024);
    for (let page = BASE; page < BASE + 512; page++) yield* r.xe.gpu.gpuWrite(r.vm, page, gpuTag(page));
    yield* r.mm.munmap(BASE, 512);
    yield* r.mm.mmap(BASE + 512, 512, { read: true, write: true });
    for (let page = BASE + 512; page < BASE + 1024; page++)
      expect(yield* r.xe.gpu.gpuRead(r.vm, page)).toBe(0);
  });
  expect(teardown(r)).toEqual([]);
});

test('when device memory is short the least recently used buffers go back to system memory, with their data', () => {
  const r = rig({ vramPages: 1024 });
  const evicted: number[] = [];
  r.machine.trace.on(XE_BO_EVICT, (e) => evicted.push(e.error));
  run(r, function* () {
    yield* populate(r, 'anon', 4 * 512);
    yield* r.vm.bindMirror(BASE, 4 * 512);
    for (let page = BASE; page < BASE + 4 * 512; page++) {
      expect(yield* r.xe.gpu.gpuWrite(r.vm, page, gpuTag(page))).toBe(0);
    }
    expect(r.mm.devicePages).toBe(1024);
    noStaleTranslation(r);
    for (let page = BASE; page < BASE + 4 * 512; page++) expect(yield* r.mm.cpuRead(page)).toBe(gpuTag(page));
  });
  expect(evicted).toEqual([0, 0]);
  expect(teardown(r)).toEqual([]);
});

test('a buffer that cannot be moved out keeps its memory and its data, and the newcomer stays in system memory', () => {
  const r = rig({ vramPages: 512 });
  const evicted: number[] = [];
  r.machine.trace.on(XE_BO_EVICT, (e) => evicted.push(e.error));
  run(r, function* () {
    yield* populate(r, 'anon', 1024);
    yield* r.vm.bindMirror(BASE, 1024);
    for (let page = BASE; page < BASE + 512; page++) yield* r.xe.gpu.gpuWrite(r.vm, page, gpuTag(page));
    for (let k = 1; k <= 64; k++) r.machine.faultInjection.failNth('pagemap.ram_folio', k);
    expect(yield* r.xe.gpu.gpuRead(r.vm, BASE + 512)).toBe(cpuTag(BASE + 512));
    r.machine.faultInjection.reset();
    expect([r.mm.devicePages, r.xe.buddy.freePages]).toEqual([512, 0]);
    for (let page = BASE; page < BASE + 512; page++) expect(yield* r.mm.cpuRead(page)).toBe(gpuTag(page));
  });
  expect(evicted.length).toBeGreaterThan(0);
  expect(evicted.every((err) => err < 0)).toBe(true);
  expect(teardown(r)).toEqual([]);
});

/** Runs everything else before the copy engine. */
const SLOW_ENGINE: SchedulerStrategy = {
  name: 'slow copy engine',
  preemptive: true,
  timed: false,
  pick: (runnable) =>
    Math.max(
      0,
      runnable.findIndex(({ name }) => !name.includes('xe migrate')),
    ),
};

test('memory that nobody wrote is zero on the GPU even when clearing is slow', () => {
  const r = rig({ strategy: SLOW_ENGINE, vramPages: 16 });
  run(r, function* () {
    yield* populate(r, 'anon', 16);
    yield* r.vm.bindMirror(BASE, 64);
    for (let page = BASE; page < BASE + 16; page++) yield* r.xe.gpu.gpuWrite(r.vm, page, gpuTag(page));
    yield* r.mm.munmap(BASE, 16);
    yield* r.mm.mmap(BASE + 32, 4, { read: true, write: true });
    for (let page = BASE + 32; page < BASE + 36; page++) expect(yield* r.xe.gpu.gpuRead(r.vm, page)).toBe(0);
    expect(r.mm.devicePages).toBe(4);
  });
  expect(teardown(r)).toEqual([]);
});

test('evicting everything leaves no device page, and the GPU finds its data in system memory', () => {
  const r = rig();
  run(r, function* () {
    yield* populate(r, 'mixed', 1024);
    yield* r.vm.bindMirror(BASE, 1024);
    for (let page = BASE; page < BASE + 1024; page++) yield* r.xe.gpu.gpuWrite(r.vm, page, gpuTag(page));
    expect(yield* evictVram(r.xe, r.xe.vram.pages)).toBe(0);
    expect([r.mm.devicePages, r.xe.bos.live]).toEqual([0, 0]);
    noStaleTranslation(r);
    for (let page = BASE; page < BASE + 1024; page++)
      expect(yield* r.xe.gpu.gpuRead(r.vm, page)).toBe(gpuTag(page));
  });
  expect(teardown(r)).toEqual([]);
});

test('a device without room for a range works from system memory', () => {
  const r = rig({ vramPages: 256 });
  run(r, function* () {
    yield* populate(r, 'anon', 512);
    yield* r.vm.bindMirror(BASE, 512);
    for (let page = BASE; page < BASE + 512; page++)
      expect(yield* r.xe.gpu.gpuRead(r.vm, page)).toBe(cpuTag(page));
    expect(r.mm.devicePages).toBe(0);
  });
  expect(teardown(r)).toEqual([]);
});

test('a device atomic moves its range to device memory and keeps the CPU away for the time slice', () => {
  const r = rig();
  run(r, function* () {
    yield* populate(r, 'anon', 16);
    yield* r.vm.bindMirror(BASE, 16);
    expect(yield* r.xe.gpu.gpuAtomicAdd(r.vm, BASE, 5)).toBe(cpuTag(BASE));
    expect(r.mm.devicePages).toBeGreaterThan(0);
    expect(yield* r.xe.gpu.gpuAtomicAdd(r.vm, BASE, 5)).toBe(cpuTag(BASE) + 5);
    r.machine.clock.advance(20e6);
    expect(yield* r.mm.cpuRead(BASE)).toBe(cpuTag(BASE) + 10);
  });
  expect(teardown(r)).toEqual([]);
});

test('a device atomic on memory that cannot migrate, or in an area for CPU atomics, is refused', () => {
  const r = rig();
  run(r, function* () {
    yield* populate(r, 'file', 16);
    yield* r.vm.bindMirror(BASE, 8);
    yield* r.vm.bindMirror(BASE + 8, 8, { atomic: 'cpu' });
    expect(yield* r.xe.gpu.gpuAtomicAdd(r.vm, BASE, 5)).toBe(-EACCES);
    expect(yield* r.xe.gpu.gpuAtomicAdd(r.vm, BASE + 8, 5)).toBe(-EACCES);
    expect(yield* r.mm.cpuRead(BASE)).toBe(cpuTag(BASE));
  });
  expect(teardown(r)).toEqual([]);
});

test('a read-only area is readable, refuses writes with -EPERM and never gets a writable entry', () => {
  const r = rig();
  run(r, function* () {
    yield* populate(r, 'anon', 16);
    yield* r.vm.bindMirror(BASE, 16, { readOnly: true });
    expect(yield* r.xe.gpu.gpuRead(r.vm, BASE)).toBe(cpuTag(BASE));
    expect(yield* r.xe.gpu.gpuWrite(r.vm, BASE, 1)).toBe(-EPERM);
    r.xe.tlb.forEach((_asid, _page, _frame, flags) => expect(flags & 2).toBe(0));
    expect(yield* r.mm.cpuRead(BASE)).toBe(cpuTag(BASE));
  });
  expect(teardown(r)).toEqual([]);
});

test('pinned pages stay where they are and the GPU uses them there', () => {
  const r = rig();
  run(r, function* () {
    yield* populate(r, 'anon', 16);
    const pfn = r.mm.pfnAt(BASE + 3);
    r.folios.pin(r.folios.head(pfn));
    yield* r.vm.bindMirror(BASE, 16);
    expect(yield* r.xe.gpu.gpuRead(r.vm, BASE + 3)).toBe(cpuTag(BASE + 3));
    expect(r.mm.pfnAt(BASE + 3)).toBe(pfn);
    r.folios.unpin(r.folios.head(pfn));
  });
  expect(teardown(r)).toEqual([]);
});

test('a device that only evicts what is not being filled reports -ENOSPC when asked for more', () => {
  const r = rig({ vramPages: 512 });
  run(r, function* () {
    const bo = yield* r.xe.bos.create(512);
    if (typeof bo === 'number') throw new Error(`no buffer: ${bo}`);
    expect(yield* r.xe.bos.create(16)).toBe(-ENOSPC);
    bo.resv.unlock();
    bo.ref.put('creator');
  });
  expect(teardown(r)).toEqual([]);
});
