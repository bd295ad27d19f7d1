import type { IommuMode } from '@gpusvm/dma-iova';
import type { KernelProfileName } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import { drmPagemapEvictToRam } from '../src/evict-to-ram.ts';
import { MAP_STRATEGIES } from '../src/map-strategy/registry.ts';
import type { MapStrategyName } from '../src/map-strategy/strategy.ts';
import { type FakeDevmem, type FakeGpu, Host } from './fake-gpu.ts';

const MODES: readonly IommuMode[] = ['none', 'strict', 'lazy', 'swiotlb'];
const RIGHT = MAP_STRATEGIES.filter((name) => name !== 'iova-holes-one-destroy');

/** Every third page is written; the rest are holes. */
const WRITTEN = [512, 515, 518, 521, 524, 527];
const END = 528;

interface Run {
  readonly host: Host;
  readonly gpu: FakeGpu;
  readonly devmem: FakeDevmem | null;
}

function start(iommu: IommuMode, strategy: MapStrategyName, profile: KernelProfileName = 'linux-7.3'): Run {
  const host = new Host({ iommu, strategy, profile, memoryPages: 1200 });
  const gpu = host.gpu('gpu', 32);
  host.mmap(512, END - 512, WRITTEN);
  return { host, gpu, devmem: gpu.alloc(END - 512) };
}

/** The device changes every page it holds. */
function deviceWrites(run: Run): void {
  const { host, gpu } = run;
  for (const page of WRITTEN) gpu.vram[host.mm.pfnAt(page) - gpu.devPagemap.basePfn]! += 1000;
}

function expectContent(run: Run, added: number): void {
  const { host } = run;
  for (const page of WRITTEN) expect(host.run(host.mm.cpuRead(page))).toBe(page + 100 + added);
  expect(host.run(host.mm.cpuRead(513))).toBe(0);
}

function expectNothingLeft(run: Run): void {
  const { host } = run;
  host.tearDown();
  expect(host.machine.ledger.live()).toEqual([]);
  expect(host.machine.warnings).toBe(0);
}

describe.each(MODES)('with IOMMU mode %s', (mode) => {
  test.each(RIGHT)('%s: to the device, a CPU fault brings the window back', (strategy) => {
    const run = start(mode, strategy);
    expect(run.host.run(run.gpu.migrate(512, END, {}, run.devmem))).toBe(0);
    deviceWrites(run);
    run.host.run(run.host.mm.cpuRead(512));
    expect(run.host.mm.devicePages).toBe(0);
    expect(run.devmem!.released).toBe(true);
    expectContent(run, 1000);
    expectNothingLeft(run);
  });

  test.each(RIGHT)('%s: to the device and evicted', (strategy) => {
    const run = start(mode, strategy);
    run.host.run(run.gpu.migrate(512, END, {}, run.devmem));
    deviceWrites(run);
    expect(run.host.run(drmPagemapEvictToRam(run.devmem!))).toBe(0);
    expect([run.host.mm.devicePages, run.devmem!.detached.isDone]).toEqual([0, true]);
    expectContent(run, 1000);
    expectNothingLeft(run);
  });

  // With bounce buffers 7.2 shows RAM to the CPU before the data has arrived (Qj): afterwards it is there all the same.
  test.each(['linux-7.0', 'linux-7.2', 'linux-7.3', 'next'] as const)('on %s', (profile) => {
    const run = start(mode, 'iova-packed', profile);
    run.host.run(run.gpu.migrate(512, END, {}, run.devmem));
    deviceWrites(run);
    expect(run.host.run(run.host.mm.cpuRead(515))).toBe(1615);
    expectContent(run, 1000);
    expectNothingLeft(run);
  });
});

test('the wrong strategy leaks exactly what lies behind the first hole, on the way to the device', () => {
  const run = start('strict', 'iova-holes-one-destroy');
  run.host.run(run.gpu.migrate(512, END, {}, run.devmem));
  expect(run.gpu.device.domain!.mappedPages).toBe(WRITTEN.length - 1);
  expect(run.host.machine.warnings).toBe(1);
});

test('a failure of any step of there, back and eviction keeps the data and leaves nothing', () => {
  for (const strategy of RIGHT) {
    for (let k = 1; ; k++) {
      const run = start('strict', strategy);
      const { host, gpu } = run;
      host.machine.faultInjection.failAnyNth(k);
      const there = host.run(gpu.migrate(512, END, {}, run.devmem));
      const back = there === 0 ? host.run(drmPagemapEvictToRam(run.devmem!)) : 0;
      const fired = host.machine.faultInjection.anyNth === 0;
      host.machine.faultInjection.reset();
      expect(run.devmem!.released).toBe(true);
      // One failure is survived by the second attempt.
      expect(back).toBe(0);
      expectContent(run, 0);
      expectNothingLeft(run);
      if (!fired) break;
    }
  }
});
