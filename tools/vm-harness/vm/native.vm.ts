import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { bootGuest } from '../src/boot-guest.ts';
import type { KernelVersion } from '../src/kernel-build.ts';
import type { IommuKind } from '../src/qemu-arguments.ts';
import { kernel } from './kernels.ts';

/** Programs of native-backend that run on a real kernel; see the README beside them. */
const PROGRAMS = fileURLToPath(new URL('../../../packages/native-backend/test-vm/', import.meta.url));

type Driver = 'vtd' | 'amd' | 'mock';

const IOMMU: Readonly<Record<Driver, IommuKind>> = { vtd: 'intel', amd: 'amd', mock: 'none' };

/** AMD-Vi of QEMU 7.2 does not remap interrupts for 7.3. */
function kernelArguments(driver: Driver, version: KernelVersion): string[] {
  return driver === 'amd' && version === '7.3' ? ['iommufd.allow_unsafe_interrupts=1'] : [];
}

/** Run programs one after the other in a guest; the last line of each, with the lines before it where it failed. */
async function run(
  driver: Driver,
  version: KernelVersion,
  programs: readonly string[],
  machine: { readonly interruptRemapping?: boolean; readonly sharedGroup?: boolean } = {},
): Promise<string[]> {
  const lines = programs.map(
    (program, i) =>
      `if node ${PROGRAMS}${program} >log 2>&1; then tail -n 1 log; else tail -n 40 log; echo "${program} failed"; fi >${i}.log`,
  );
  const results = programs.map((_, i) => `${i}.log`);
  const guest = await bootGuest({
    kernel: await kernel(version),
    iommu: IOMMU[driver],
    root: 'host',
    ...machine,
    kernelArguments: kernelArguments(driver, version),
    command: lines.join('\n'),
    results,
    timeoutSeconds: 580,
  });
  return results.map((name) => (guest.files.get(name) ?? 'no result').trim());
}

const passed: unknown = expect.stringMatching(/^[1-9]\d* passed, 0 failed$/);

describe.each<[Driver, KernelVersion]>([
  ['vtd', '6.12'],
  ['amd', '6.12'],
  ['mock', '6.12'],
  ['vtd', '7.3'],
  ['amd', '7.3'],
  ['mock', '7.3'],
])('iommufd, %s, Linux %s', (driver, version) => {
  test('every behaviour row, and the contract of the seam', async () => {
    const behaviour = `behaviour.mjs ${driver} ${version}`;
    expect(await run(driver, version, [behaviour, `seam.mjs ${driver} ${version}`])).toEqual([
      passed,
      passed,
    ]);
  });
});

describe.each<Driver>(['vtd', 'amd', 'mock'])('iommufd, %s, Linux 7.3', (driver) => {
  test('1000 random programs give the transcript of SimSys', async () => {
    expect(await run(driver, '7.3', [`differential.mjs ${driver} 7.3 1000`])).toEqual([passed]);
  });

  test('every mapping strategy keeps its contract on pinned memory', async () => {
    expect(await run(driver, '7.3', [`strategies.mjs ${driver}`])).toEqual([passed]);
  });
});

test.each<[Driver, KernelVersion]>([
  ['vtd', '7.3'],
  ['amd', '6.12'],
])('faults on %s, Linux %s: nothing leaks and the next run works', async (driver, version) => {
  expect(await run(driver, version, ['faults.mjs'])).toEqual([passed]);
});

test.each<[string, readonly string[], Driver, { interruptRemapping?: boolean; sharedGroup?: boolean }]>([
  [
    'a bound device, a group that a driver has, entries of 2 MiB',
    ['refusals.mjs shared-group', 'refusals.mjs bound', 'huge-pages.mjs'],
    'vtd',
    { sharedGroup: true },
  ],
  ['no interrupt remapping', ['refusals.mjs no-remapping'], 'vtd', { interruptRemapping: false }],
  ['no IOMMU', ['refusals.mjs no-iommu'], 'mock', {}],
])('refusals before anything is mapped, Linux 7.3: %s', async (_name, programs, driver, machine) => {
  expect(await run(driver, '7.3', programs, machine)).toEqual(programs.map(() => passed));
});
