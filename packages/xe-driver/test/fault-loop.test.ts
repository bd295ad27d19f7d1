import {
  EFAULT,
  EIO,
  ENOMEM,
  type Errno,
  type KernelProfileName,
  NotImplemented,
  type Task,
} from '@gpusvm/kernel';
import { expect, test } from 'vitest';
import { xeVmBindUserptr, xeVmMadvise, xeVmPrefetch } from '../src/index.ts';
import { BASE, cpuTag, populate, type Rig, rig, teardown } from './rig.ts';

/** A GPU read of one page while every call of a fault site fails, and one afterwards. */
function readWhileFailing(r: Rig, site: string): [Errno, number] {
  return r.machine.run(
    (function* (): Task<[Errno, number]> {
      yield* populate(r, 'anon', 1);
      yield* r.vm.bindMirror(BASE, 1);
      for (let k = 1; k <= 2000; k++) r.machine.faultInjection.failNth(site, k);
      const err = yield* r.xe.gpu.gpuRead(r.vm, BASE);
      r.machine.faultInjection.reset();
      return [err, yield* r.xe.gpu.gpuRead(r.vm, BASE)];
    })(),
  );
}

/** A GPU read of a page of a 2 MiB folio. */
function readHugePage(r: Rig): number {
  return r.machine.run(
    (function* (): Task<number> {
      yield* populate(r, 'thp', 512);
      yield* r.vm.bindMirror(BASE, 512);
      return yield* r.xe.gpu.gpuRead(r.vm, BASE + 7);
    })(),
  );
}

/** [profile, answer of the access, kernel warnings] */
const NO_MEMORY: readonly (readonly [KernelProfileName, Errno, number])[] = [
  ['linux-7.0', -EIO, 1],
  ['linux-7.3', -EIO, 1],
  ['next', -ENOMEM, 0],
];

test.each(NO_MEMORY)(
  '%s: get_pages without memory ends the access with %i (quirk Qd)',
  (profile, wanted, warnings) => {
    const r = rig({ profile, xe: { devmem: false } });
    expect(readWhileFailing(r, 'gpusvm.alloc_addrs')).toEqual([wanted, cpuTag(BASE)]);
    expect(r.machine.warnings).toBe(warnings);
    expect(teardown(r)).toEqual([]);
  },
);

test.each([
  ['linux-7.3', 1],
  ['next', 0],
] as const)(
  '%s: a page that can never be mapped does not hang the fault worker, warnings %i (quirk Qe)',
  (profile, warnings) => {
    const r = rig({ profile, iommu: 'swiotlb', xe: { devmem: false } });
    expect(readWhileFailing(r, 'swiotlb.map')).toEqual([-EFAULT, cpuTag(BASE)]);
    expect(r.machine.warnings).toBe(warnings);
    expect(teardown(r)).toEqual([]);
  },
);

test("a 2 MiB folio cannot be bounced with the kernel's segments of 256 KiB: the fault fails", () => {
  for (const [swiotlbSegmentBytes, want] of [
    [2 ** 18, -EFAULT],
    [2 ** 21, cpuTag(BASE + 7)],
  ] as const) {
    const r = rig({
      iommu: 'swiotlb',
      swiotlbSegmentBytes,
      xe: { devmem: false, behaviour: { boundsFaultLoop: true, faultRounds: 4 } },
    });
    expect(readHugePage(r)).toBe(want);
    expect(teardown(r)).toEqual([]);
  }
});

test('what is not implemented says so', () => {
  const r = rig();
  expect(() => xeVmPrefetch(r.vm, BASE, BASE + 1)).toThrow(NotImplemented);
  expect(() => xeVmMadvise(r.vm, BASE, BASE + 1, 'atomic')).toThrow(NotImplemented);
  expect(() => xeVmBindUserptr(r.vm, BASE, 1)).toThrow(NotImplemented);
  r.machine.run(r.vm.bindMirror(BASE, 16));
  expect(() => r.machine.run(r.vm.bindMirror(BASE + 8, 16))).toThrow(NotImplemented);
  expect(r.vm.vmas.all.length).toBe(1);
  expect(teardown(r)).toEqual([]);
});
