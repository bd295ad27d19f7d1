import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bootGuest, GuestError } from '../src/boot-guest.ts';
import { KERNEL_VERSIONS } from '../src/kernel-build.ts';
import type { IommuKind } from '../src/qemu-arguments.ts';
import { parseFtrace } from '../src/trace/ftrace.ts';
import { invalidationOf, parseQemuTrace } from '../src/trace/qemu-trace.ts';
import { kernel } from './kernels.ts';

/** Release, number of IOMMU groups, IOMMUs, devices that the tests need. */
const SURVEY = [
  'cat /proc/sys/kernel/osrelease',
  'ls -1 /sys/kernel/iommu_groups | grep -c .',
  'ls -1 /sys/class/iommu',
  'ls -1 /dev/iommu /dev/hmm_dmirror0',
  'exit 7',
].join('; ');

describe.each(KERNEL_VERSIONS)('a guest with Linux %s', (version) => {
  test.each<[IommuKind, string]>([
    ['intel', 'dmar0'],
    ['amd', 'ivhd0'],
    ['virtio', '0000:00:01.0'],
    ['none', ''],
  ])('with IOMMU %s runs a command and returns its status and output', async (iommu, name) => {
    const guest = await bootGuest({
      kernel: await kernel(version),
      iommu,
      command: SURVEY,
    });
    const [release, groups, ...rest] = guest.output.split('\n');
    expect([guest.exitCode, release!.startsWith(`${version}.`)]).toEqual([7, true]);
    expect(Number(groups) > 0).toBe(iommu !== 'none');
    expect(rest.join('\n')).toContain(name);
    expect(rest.slice(-2)).toEqual(['/dev/hmm_dmirror0', '/dev/iommu']);
  });

  test('sees the host read-only, its Node, and a folder of its own', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'gpusvm-visible-'));
    writeFileSync(join(folder, 'note'), 'from the host');
    const guest = await bootGuest({
      kernel: await kernel(version),
      iommu: 'intel',
      root: 'host',
      visible: [folder],
      files: { 'sum.mjs': 'console.log([1, 2, 3].reduce((a, b) => a + b))' },
      results: ['out', 'absent'],
      command: `"${process.execPath}" sum.mjs >out; touch /etc/gpusvm-probe && echo writable; cat out "${folder}/note"`,
    });
    rmSync(folder, { recursive: true });
    expect(guest.output).toMatch(/touch: .*Read-only file system\n6\nfrom the host$/);
    expect([...guest.files]).toEqual([['out', '6\n']]);
  });
});

test('a guest that oopses fails at once, with the console that says why', async () => {
  const failure = await bootGuest({
    kernel: await kernel('7.3'),
    iommu: 'none',
    command: 'echo before; echo c >/proc/sysrq-trigger; sleep 1000',
    timeoutSeconds: 300,
  }).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(GuestError);
  expect((failure as GuestError).message).toMatch(/ended before its command did[\s\S]*before[\s\S]*sysrq/);
  expect((failure as GuestError).console).toContain('Kernel panic');
});

test('a guest that hangs is ended at its time, with what it had printed', async () => {
  // As short as this machine boots in: a busy one gets more time until the command had begun.
  const hang = async (timeoutSeconds: number): Promise<GuestError> => {
    const failure = await bootGuest({
      kernel: await kernel('7.3'),
      iommu: 'none',
      command: 'echo before; sleep 1000',
      timeoutSeconds,
    }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(GuestError);
    const ended = failure as GuestError;
    expect(ended.message).toContain(`still running after ${timeoutSeconds} s`);
    return ended.output.trim() === '' && timeoutSeconds < 100 ? hang(3 * timeoutSeconds) : ended;
  };
  const failure = await hang(5);
  expect([failure.started, failure.output.trim()]).toEqual([true, 'before']);
});

test('a step before the command that fails is an error, not a result', async () => {
  const guest = bootGuest({
    kernel: await kernel('7.3'),
    iommu: 'none',
    command: 'true',
    trace: { kernel: ['iommu:no_such_event'] },
  });
  await expect(guest).rejects.toThrow(/a step before the command failed: event iommu:no_such_event/);
});

test("both traces tell of a driver's mappings: the kernel's own and QEMU's", async () => {
  const guest = await bootGuest({
    kernel: await kernel('7.3'),
    iommu: 'intel',
    modules: ['nvme-core.ko', 'nvme.ko'],
    command: 'dd if=/dev/nvme0n1 of=/dev/null bs=4096 count=4 2>&1',
    trace: { qemu: ['vtd_inv_desc_iotlb*'], kernel: ['iommu:map', 'iommu:unmap'] },
  });
  expect(guest.exitCode).toBe(0);
  const events = parseFtrace(guest.kernelTrace);
  const unmaps = events.filter((event) => event.event === 'unmap');
  expect(unmaps.length).toBeGreaterThan(0);
  const ranges = parseQemuTrace(guest.qemuTrace).filter((event) => invalidationOf(event)?.kind === 'range');
  expect(ranges.length).toBeGreaterThanOrEqual(unmaps.length);
});
