import type { IommuMode } from '@gpusvm/dma-iova';
import { EFAULT, random, type Task } from '@gpusvm/kernel';
import { expect, test } from 'vitest';
import { drmPagemapEvictToRam } from '../src/evict-to-ram.ts';
import { type FakeDevmem, type FakeGpu, Host } from './fake-gpu.ts';

const ALL = Array.from({ length: 16 }, (_, i) => 512 + i);
const MODES: readonly IommuMode[] = ['none', 'strict', 'lazy', 'swiotlb'];
const SEEDS = Array.from({ length: 60 }, (_, i) => i + 1);

interface Scene {
  readonly host: Host;
  readonly gpu: FakeGpu;
  readonly devmem: FakeDevmem;
}

function scene(seed: number, timesliceMs = 0): Scene {
  const host = new Host({ seed, scheduling: random(), iommu: MODES[seed % 4]!, memoryPages: 1200 });
  const gpu = host.gpu('gpu', 64);
  host.mmap(512, 16, ALL);
  const devmem = gpu.alloc(16)!;
  expect(host.run(gpu.migrate(512, 528, { timesliceMs }, devmem))).toBe(0);
  return { host, gpu, devmem };
}

/** 0 if and only if detached at the moment of return (INV-39). */
function* evict({ devmem }: Scene): Task<void> {
  const err = yield* drmPagemapEvictToRam(devmem);
  expect(err === 0).toBe(devmem.detached.isDone);
}

function* reads({ host }: Scene, pages: readonly number[]): Task<void> {
  for (const page of pages) expect(yield* host.mm.cpuRead(page)).toBe(page + 100);
}

function* writes({ host }: Scene, pages: readonly number[]): Task<void> {
  for (const page of pages) expect(yield* host.mm.cpuWrite(page, page + 100)).toBe(0);
}

/** Run the tasks in a random order of steps, then check that nothing is left. */
function race(s: Scene, tasks: Record<string, Task<unknown>>): void {
  const handles = Object.entries(tasks).map(([name, task]) => s.host.machine.spawn(task, name));
  s.host.machine.drain();
  for (const handle of handles) {
    if (handle.state === 'failed') throw handle.error;
    expect(handle.state).toBe('done');
  }
}

function end(s: Scene): void {
  s.host.tearDown();
  expect(s.devmem.released).toBe(true);
  expect(s.host.machine.ledger.live()).toEqual([]);
  expect(s.host.machine.warnings).toBe(0);
}

test.each([
  ['CPU reads', 0],
  ['CPU reads while the time slice runs', 1],
])('eviction against %s keeps every page and is 0 exactly when detached', (_what, timesliceMs) => {
  for (const seed of SEEDS) {
    const s = scene(seed, timesliceMs);
    race(s, { evict: evict(s), cpu0: reads(s, [514, 520, 512]), cpu1: writes(s, [527, 520, 513]) });
    expect(ALL.map((page) => s.host.run(s.host.mm.cpuRead(page)))).toEqual(ALL.map((page) => page + 100));
    end(s);
  }
});

test('two evictions of one allocation at once', () => {
  for (const seed of SEEDS) {
    const s = scene(seed);
    race(s, { evict0: evict(s), evict1: evict(s), cpu: reads(s, [518]) });
    expect(ALL.map((page) => s.host.run(s.host.mm.cpuRead(page)))).toEqual(ALL.map((page) => page + 100));
    end(s);
  }
});

test('eviction against the device faulting the range in again', () => {
  for (const seed of SEEDS) {
    const s = scene(seed);
    race(s, {
      evict: evict(s),
      gpu: s.gpu.migrate(512, 528),
      gpuToo: s.gpu.migrate(516, 520, { canMigrateSamePagemap: true }),
      cpu: reads(s, [514]),
    });
    expect(ALL.map((page) => s.host.run(s.host.mm.cpuRead(page)))).toEqual(ALL.map((page) => page + 100));
    end(s);
  }
});

test('eviction against munmap and process exit', () => {
  for (const seed of SEEDS) {
    const s = scene(seed);
    const { mm } = s.host;
    race(s, {
      evict: evict(s),
      munmap: mm.munmap(514, 6),
      cpu: (function* (): Task<void> {
        expect([-EFAULT, 613]).toContain(yield* mm.cpuRead(513));
      })(),
      exit: mm.exit(),
    });
    s.host.machine.drain();
    s.gpu.tearDown();
    s.host.machine.drain();
    expect(s.devmem.released).toBe(true);
    expect(s.host.machine.ledger.live()).toEqual([]);
  }
});

test('a CPU that faults all the time makes progress after the time slice', () => {
  for (const seed of SEEDS.slice(0, 20)) {
    const s = scene(seed, 1);
    race(s, { cpu0: reads(s, ALL), cpu1: reads(s, [...ALL].reverse()), gpu: s.gpu.migrate(512, 520) });
    expect(ALL.map((page) => s.host.run(s.host.mm.cpuRead(page)))).toEqual(ALL.map((page) => page + 100));
    end(s);
  }
});
