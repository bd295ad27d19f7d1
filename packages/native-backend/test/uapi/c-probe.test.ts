import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { IOMMUFD_CALLS, IOMMUFD_STRUCTS } from '../../src/uapi/iommufd-calls.ts';
import { offsetOf, offsetOfEnd, sizeOf, sizeOfField } from '../../src/uapi/layout.ts';
import { VFIO_CALLS } from '../../src/uapi/vfio.ts';
import type { Layout } from '../../src/uapi/layout.ts';
import { kernelVersion, probe } from './c-probe.ts';

/** Headers of another kernel than the system's: set where a guest's kernel is built. */
const include = process.env['GPUSVM_UAPI_INCLUDE'];
const CALLS = [...IOMMUFD_CALLS, ...VFIO_CALLS];
const STRUCTS = Object.entries(IOMMUFD_STRUCTS).map(([name, fields]) => ({ name, fields }));

describe('the tables of structures', () => {
  const hasHeaders = include !== undefined || existsSync('/usr/include/linux/vfio.h');
  const hasCompiler = spawnSync('cc', ['--version']).status === 0;

  test.runIf(hasHeaders && hasCompiler)('agree with every structure that the kernel headers have', () => {
    const known = probe(CALLS, STRUCTS, include);
    expect(known.get('VFIO_DEVICE_GET_INFO')).toBe(0x3b6b);
    const wrong: string[] = [];
    const compare = (what: string, actual: number | undefined, expected: number): void => {
      if (actual !== undefined && actual !== expected) wrong.push(`${what} is ${actual}, not ${expected}`);
    };
    const compareFields = (struct: string, fields: Layout): void => {
      for (const [field] of fields) {
        const name = `${struct}.${field}`;
        compare(name, known.get(name), offsetOf(fields, field));
        compare(`size of ${name}`, known.get(`${name}.size`), sizeOfField(fields, field));
      }
    };
    for (const { name, request, struct, last, fields } of CALLS) {
      compare(name, known.get(name), request);
      if (known.has(name) && known.get(struct)! < offsetOfEnd(fields, last))
        wrong.push(`${struct} is too short`);
      compareFields(struct, fields);
    }
    for (const { name, fields } of STRUCTS) {
      compare(name, known.get(name), sizeOf(fields));
      compareFields(name, fields);
    }
    expect(wrong).toEqual([]);
    // The tables are of 7.3: nothing of them is missing in headers as new as that.
    if (known.get('LINUX_VERSION_CODE')! < kernelVersion(7, 3)) return;
    const names = [
      ...CALLS.flatMap(({ name, struct }) => [name, struct]),
      ...STRUCTS.map(({ name }) => name),
    ];
    expect(names.filter((name) => !known.has(name))).toEqual([]);
  });

  // What is known of headers that this machine may not have: sizes as the kernel has them.
  test.each([
    ['iommu_destroy', 8],
    ['iommu_ioas_alloc', 12],
    ['iommu_ioas_map', 40],
    ['iommu_ioas_unmap', 24],
    ['iommu_ioas_copy', 40],
    ['iommu_ioas_iova_ranges', 32],
    ['iommu_option', 24],
    ['iommu_hwpt_alloc', 48],
    ['iommu_hw_info', 40],
    ['iommu_hwpt_set_dirty_tracking', 16],
    ['iommu_hwpt_get_dirty_bitmap', 48],
    ['iommu_fault_alloc', 16],
    ['iommu_hwpt_invalidate', 32],
    ['iommu_viommu_alloc', 40],
    ['iommu_vdevice_alloc', 24],
    ['iommu_veventq_alloc', 32],
    ['iommu_hw_queue_alloc', 40],
    ['iommu_ioas_map_file', 40],
    ['iommu_ioas_change_process', 8],
    ['iommu_vfio_ioas', 12],
    ['iommu_ioas_noiommu_get_pa', 40],
    ['vfio_region_info', 32],
    ['vfio_device_bind_iommufd', 16],
  ])('%s has %i bytes', (name, bytes) => {
    expect(sizeOf(CALLS.find(({ struct }) => struct === name)!.fields)).toBe(bytes);
  });
});
