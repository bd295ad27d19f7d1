import type { MapStrategyName } from '@gpusvm/drm-pagemap';
import type { KernelProfileName, Task } from '@gpusvm/kernel';
import { expect, test, vi } from 'vitest';
import { mustBe, BASE, initialTag, populate, type Rig, rig, type Shape, teardown } from './rig.ts';

// Many runs a test; a machine that others use as well may need more than the default five seconds.
vi.setConfig({ testTimeout: 120_000 });

interface Case {
  readonly shape: Shape;
  readonly map: MapStrategyName;
  readonly devmem: boolean;
  readonly profile: KernelProfileName;
}

function make({ map, devmem, profile }: Case): Rig {
  return rig({ memoryPages: 4096, vramPages: 512, map, profile, xe: { devmem, tlbSlots: 2 } });
}

function prepare(r: Rig, { shape }: Case): void {
  r.machine.run(populate(r, shape, 512));
  r.machine.run(r.vm.bindMirror(BASE, 512));
}

/** How often each site is asked by one 2M fault and the way back. */
function asked(c: Case): Map<string, number> {
  const r = make(c);
  prepare(r, c);
  const before = new Map(r.machine.faultInjection.sites().map(({ name, calls }) => [name, calls]));
  r.machine.run(scenario(r));
  const after = r.machine.faultInjection.sites();
  expect(teardown(r)).toEqual([]);
  return new Map(after.map(({ name, calls }) => [name, calls - (before.get(name) ?? 0)]));
}

function* scenario(r: Rig): Task<void> {
  const err = yield* r.xe.gpu.gpuAccessRange(r.vm, BASE, BASE + 512, 'write');
  expect(err).toBeLessThanOrEqual(0);
  yield* r.mm.cpuRead(BASE + 7);
}

function* allDataIsThere(r: Rig, shape: Shape): Task<void> {
  for (let page = BASE; page < BASE + 512; page++) {
    const gpu = yield* r.xe.gpu.gpuRead(r.vm, page);
    mustBe(gpu, initialTag(shape, page), `GPU read of page ${page - BASE}`);
  }
  for (let page = BASE; page < BASE + 512; page += 31)
    expect(yield* r.mm.cpuRead(page)).toBe(initialTag(shape, page));
}

/** Every k when there are few, else the first, the last and a spread. */
function ks(calls: number): number[] {
  if (calls <= 12) return Array.from({ length: calls }, (_, i) => i + 1);
  const spread = [1, 2, 3, Math.floor(calls / 3), Math.floor(calls / 2), calls - 1, calls];
  return [...new Set(spread)];
}

for (const profile of ['linux-7.3', 'next'] as const) {
  for (const devmem of [true, false]) {
    for (const map of ['map-page', 'iova-packed'] as const) {
      for (const shape of ['thp', 'mixed'] as const) {
        test(`${profile}, ${map}, ${shape}, device memory ${devmem}: the k-th failure of every site loses and leaks nothing`, () => {
          const c: Case = { shape, map, devmem, profile };
          const sites = asked(c);
          expect(sites.get('xe.pt_create')).toBeGreaterThan(0);
          for (const [name, calls] of sites) {
            for (const k of ks(calls)) {
              const r = make(c);
              prepare(r, c);
              r.machine.faultInjection.failNth(name, k);
              r.machine.run(scenario(r));
              r.machine.faultInjection.reset();
              r.machine.run(allDataIsThere(r, shape));
              expect(teardown(r)).toEqual([]);
            }
          }
        });
      }
    }
  }
}
