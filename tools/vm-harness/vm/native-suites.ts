import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { bootGuest, type GuestOptions } from '../src/boot-guest.ts';
import type { KernelVersion } from '../src/kernel-build.ts';
import type { IommuKind } from '../src/qemu-arguments.ts';
import { bundle } from './bundle.ts';
import { kernel } from './kernels.ts';

/** Suites of native-backend that run on a real kernel; see the README beside them. */
const RUN = fileURLToPath(new URL('../../../packages/native-backend/test-vm/run.mjs', import.meta.url));

export type Driver = 'vtd' | 'amd' | 'mock';

const IOMMU: Readonly<Record<Driver, IommuKind>> = { vtd: 'intel', amd: 'amd', mock: 'none' };

/** AMD-Vi of QEMU 7.2 does not remap interrupts for 7.3. */
function kernelArguments(driver: Driver, version: KernelVersion): string[] {
  return driver === 'amd' && version === '7.3' ? ['iommufd.allow_unsafe_interrupts=1'] : [];
}

const passed: unknown = expect.stringMatching(/^[a-z-]+: [1-9]\d* passed, 0 failed$/);

/**
 * One boot, and one test a suite. They share the boot because starting Node takes a guest longer than most suites.
 *
 * @param suites - what it is called as a test, to the word of the command line (`behaviour`, `differential=1000`).
 */
export function nativeSuites(
  driver: Driver,
  version: KernelVersion,
  suites: Readonly<Record<string, string>>,
  machine: Pick<GuestOptions, 'interruptRemapping' | 'sharedGroup'> = {},
): void {
  describe(`iommufd, ${driver}, Linux ${version}`, () => {
    let boot: Promise<string> | null = null;
    const output = (): Promise<string> => (boot ??= run(driver, version, Object.values(suites), machine));

    test.each(Object.entries(suites))('%s', async (_what, suite) => {
      expect(outcome(await output(), suite.split('=')[0]!)).toEqual([passed]);
    });
  });
}

async function run(
  driver: Driver,
  version: KernelVersion,
  suites: readonly string[],
  machine: Pick<GuestOptions, 'interruptRemapping' | 'sharedGroup'>,
): Promise<string> {
  const guest = await bootGuest({
    ...machine,
    kernel: await kernel(version),
    iommu: IOMMU[driver],
    root: 'host',
    kernelArguments: kernelArguments(driver, version),
    files: { 'run.mjs': await bundle(RUN) },
    command: `"${process.execPath}" run.mjs ${driver} ${version} ${suites.join(' ')} >log 2>&1`,
    results: ['log'],
    timeoutSeconds: 580,
  });
  return guest.files.get('log') ?? 'no result';
}

/** The last line of a suite, with what it printed before where something failed: lines, because a long text is shown cut. */
function outcome(log: string, suite: string): string[] {
  const lines = log.trimEnd().split('\n');
  const end = lines.findIndex((line) => line.startsWith(`${suite}: `));
  if (end < 0) return [`no result of ${suite}:`, ...lines.slice(-40)];
  const start = lines.slice(0, end).findLastIndex((line) => /^[a-z-]+: \d+ passed/.test(line)) + 1;
  return lines.slice(start, end + 1);
}
