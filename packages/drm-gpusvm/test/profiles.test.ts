import { MAP_STRATEGIES, type MapStrategyName } from '@gpusvm/drm-pagemap';
import { KERNEL_PROFILES, type KernelProfileName } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import { Driver } from './support/driver.ts';
import { Host } from './support/host.ts';

const PROFILES = Object.keys(KERNEL_PROFILES) as KernelProfileName[];

/** Faults, GPU writes, events and a collection; what the GPU and the CPU see afterwards. */
function scenario(profile: KernelProfileName, strategy: MapStrategyName): unknown {
  const host = new Host({ profile, strategy });
  const driver = new Driver(host, { chunkPages: [16, 1], notifierPages: 64 });
  const { mm, device } = host;
  host.mmap(0, 200, [3, 16, 40, 41, 100, 150]);
  for (const page of [3, 20, 40, 70, 100, 150]) expect(host.run(driver.fault(page))).toBe(0);
  for (const page of [18, 44, 101]) device.writeTag(driver.table.get(page)!.addr, 1000 + page);
  host.run(mm.munmap(40, 4));
  host.run(mm.madviseDontneed(100, 1));
  host.run(mm.mprotect(150, 1, { read: true, write: false }));
  host.run(driver.locked(driver.collect()));
  expect(host.run(driver.fault(44))).toBe(0);
  expect(host.run(driver.fault(20))).toBe(0);
  const seen = {
    gpu: [...driver.table.keys()].sort((a, b) => a - b).map((page) => [page, driver.read(page)]),
    cpu: Array.from({ length: 200 }, (_, page) => mm.tryReadTag(page)),
    ranges: driver.ranges().map((range) => [range.startPage, range.endPage, range.pages.flags.hasDmaMapping]),
  };
  expect(driver.tearDown()).toEqual([]);
  return seen;
}

describe('the same scenario', () => {
  it('ends with the same contents and the same valid ranges under every profile and strategy', () => {
    const expected = scenario('linux-7.3', 'iova-packed');
    for (const profile of PROFILES) {
      for (const strategy of MAP_STRATEGIES) {
        expect([profile, strategy, scenario(profile, strategy)]).toEqual([profile, strategy, expected]);
      }
    }
  });
});
