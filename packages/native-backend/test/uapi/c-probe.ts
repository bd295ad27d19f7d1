import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Call } from '../../src/uapi/call.ts';
import type { Layout } from '../../src/uapi/layout.ts';

/** Fields that are newer than their structure, with the version that brought them. */
const SINCE: Readonly<Record<string, string>> = {
  'iommu_hwpt_alloc.fault_id': '6,11,0',
  'iommu_hw_info.out_max_pasid_log2': '6,15,0',
  'iommu_hw_info.out_capabilities': '6,7,0',
  'iommu_viommu_alloc.data_len': '6,17,0',
  'iommu_viommu_alloc.data_uptr': '6,17,0',
  'vfio_device_attach_iommufd_pt.pasid': '6,15,0',
  'vfio_device_detach_iommufd_pt.pasid': '6,15,0',
};
/** The version of which the structures are. */
const STRUCTS_SINCE = 'KERNEL_VERSION(7, 3, 0)';

/** A structure of the header that belongs to no call. */
export interface Struct {
  readonly name: string;
  readonly fields: Layout;
}

/** Kernel versions are compared in this form (KERNEL_VERSION). */
export function kernelVersion(major: number, minor: number): number {
  return major * 65536 + minor * 256;
}

/**
 * Ask kernel headers: `what -> number`, for everything of the calls that they know, and for the structures if the header
 * is as new as they are; `LINUX_VERSION_CODE` is the headers' version.
 */
export function probe(
  calls: readonly Call[],
  structs: readonly Struct[],
  include: string | undefined,
): Map<string, number> {
  const dir = mkdtempSync(join(tmpdir(), 'gpusvm-probe-'));
  try {
    const file = join(dir, 'probe.c');
    const program = join(dir, 'probe');
    writeFileSync(file, source(calls, structs));
    const flags = include === undefined ? [] : ['-isystem', include];
    run('cc', ['-Wall', '-Werror', ...flags, file, '-o', program]);
    const lines = run(program, []).trim().split('\n');
    return new Map(lines.map((line) => line.split(' ')).map(([name, value]) => [name!, Number(value)]));
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function run(command: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} failed: ${error?.message ?? stderr}`);
  return stdout;
}

function source(calls: readonly Call[], structs: readonly Struct[]): string {
  const parts = calls.map((call) => {
    const lines = [
      `printf("${call.name} %lu\\n", (unsigned long)${call.name});`,
      ...ofStruct(call.struct, call.fields),
    ];
    return `#ifdef ${call.name}\n${lines.join('\n')}\n#endif`;
  });
  const newest = structs.flatMap(({ name, fields }) => ofStruct(name, fields));
  parts.push(`#if LINUX_VERSION_CODE >= ${STRUCTS_SINCE}\n${newest.join('\n')}\n#endif`);
  return `#include <stddef.h>
#include <stdio.h>
#include <linux/version.h>
#include <linux/vfio.h>
#if __has_include(<linux/iommufd.h>)
#include <linux/iommufd.h>
#endif
int main(void) {
printf("LINUX_VERSION_CODE %u\\n", LINUX_VERSION_CODE);
${parts.join('\n')}
return 0;
}
`;
}

/** Lines that print the size of a structure, and offset and size of its fields. */
function ofStruct(struct: string, fields: Layout): string[] {
  const lines = [`printf("${struct} %zu\\n", sizeof(struct ${struct}));`];
  for (const [field] of fields) {
    const name = `${struct}.${field}`;
    // Paddings are arrays or have other names in the header; data is a flexible array.
    if (field.startsWith('__reserved') || name === 'vfio_irq_set.data') continue;
    const print = `printf("${name} %zu\\n${name}.size %zu\\n", offsetof(struct ${struct}, ${field}), sizeof(((struct ${struct} *)0)->${field}));`;
    const since = SINCE[name];
    lines.push(
      since === undefined
        ? print
        : `\n#if LINUX_VERSION_CODE >= KERNEL_VERSION(${since})\n${print}\n#endif\n`,
    );
  }
  return lines;
}
