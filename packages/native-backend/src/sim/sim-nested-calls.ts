import { EINVAL, ENOENT, EOPNOTSUPP, type Errno } from '@gpusvm/kernel';
import * as test from '../uapi/iommufd-test-virtual.ts';
import * as uapi from '../uapi/iommufd.ts';
import { IOMMU_HWPT_INVALIDATE } from '../uapi/iommufd-virtual.ts';
import type { SimContext } from './sim-context.ts';
import type { SimCallEntry, SimFaultObject, SimFields, SimHwptObject } from './sim-objects.ts';
import { paddedUserData, userData } from './sim-user-data.ts';
import type { SimNestedObject, SimViommuObject } from './sim-virtual-objects.ts';

/*
 * Page tables of a guest and their invalidation (drivers/iommu/iommufd/hw_pagetable.c), with the data of the selftest: no
 * other simulated driver has a parent for one.
 */

const MAX_ENTRY_BYTES = 4096;
const MAX_ENTRIES = 1 << 19;
/** 6.12 knows the first field of the data only. */
const FIRST_DATA = [test.IOMMU_HWPT_SELFTEST[0]] as const;

/** The part of main.c's table that is about page tables of a guest. */
export const SIM_NESTED_CALLS: readonly SimCallEntry[] = [{ call: IOMMU_HWPT_INVALIDATE, run: invalidate }];

/** IOMMU_HWPT_ALLOC with a page table or a vIOMMU as the parent. */
export function nestedAlloc(ctx: SimContext, f: SimFields, over: SimHwptObject | SimViommuObject): Errno {
  const flags = Number(f['flags']);
  const { kernel, driver } = ctx.host;
  const known = uapi.IOMMU_HWPT_FAULT_ID_VALID | (kernel.virtualization ? uapi.IOMMU_HWPT_ALLOC_PASID : 0);
  if ((flags & ~known) !== 0 || f['data_len'] === 0 || !driver.allocatesNested) return -EOPNOTSUPP;
  const parent = over.kind === 'viommu' ? over.hwpt : over;
  if (over.kind === 'hwpt' && (over.auto || !over.nestParent)) return -EINVAL;
  if (f['data_type'] !== test.IOMMU_HWPT_DATA_SELFTEST) return -EOPNOTSUPP;
  const data = {
    type: test.IOMMU_HWPT_DATA_SELFTEST,
    address: BigInt(f['data_uptr']!),
    lengthBytes: Number(f['data_len']),
  };
  const layout = kernel.virtualization ? test.IOMMU_HWPT_SELFTEST : FIRST_DATA;
  const values = userData(ctx.host, data, test.IOMMU_HWPT_DATA_SELFTEST, layout, 'iotlb');
  if (typeof values === 'number') return values;
  let fault: SimFaultObject | null = null;
  if ((flags & uapi.IOMMU_HWPT_FAULT_ID_VALID) !== 0) {
    fault = ctx.objects.find(Number(f['fault_id']), 'fault');
    if (fault === null) return -ENOENT;
    fault.users++;
  }
  const nested: SimNestedObject = {
    kind: 'nested',
    id: ctx.objects.nextId(),
    users: 0,
    parent,
    viommu: over.kind === 'viommu' ? over : null,
    pasidCompatible: (flags & uapi.IOMMU_HWPT_ALLOC_PASID) !== 0,
    fault,
    iotlb: new Uint32Array(test.MOCK_IOTLB_ENTRIES).fill(Number(values['iotlb'])),
  };
  over.users++;
  ctx.objects.add(nested);
  f['out_hwpt_id'] = nested.id;
  return 0;
}

function invalidate(ctx: SimContext, f: SimFields): Errno {
  const entries = Number(f['entry_num']);
  const entryBytes = Number(f['entry_len']);
  f['entry_num'] = 0;
  if (f['__reserved'] !== 0) return -EOPNOTSUPP;
  const tooLarge = entryBytes > MAX_ENTRY_BYTES || entries > MAX_ENTRIES;
  if (entries > 0 && (f['data_uptr'] === 0n || entryBytes === 0 || tooLarge)) return -EINVAL;
  const target = ctx.objects.get(Number(f['hwpt_id']));
  const array = { type: Number(f['data_type']), address: BigInt(f['data_uptr']!), entries, entryBytes };
  if (target?.kind === 'nested') return invalidateTable(ctx, f, target, array);
  // 6.12 looks for a nested page table and nothing else.
  if (target === null || !ctx.host.kernel.virtualization) return -ENOENT;
  return target.kind === 'viommu' ? invalidateViommu(ctx, f, target, array) : -EINVAL;
}

interface Entries {
  readonly type: number;
  readonly address: bigint;
  readonly entries: number;
  readonly entryBytes: number;
}

/** mock_domain_cache_invalidate_user: entry by entry, those in front of a bad one are done. */
function invalidateTable(ctx: SimContext, f: SimFields, nested: SimNestedObject, array: Entries): Errno {
  const type = test.IOMMU_HWPT_INVALIDATE_DATA_SELFTEST;
  if (array.type !== type) return -EINVAL;
  const layout = test.IOMMU_HWPT_INVALIDATE_SELFTEST;
  for (let i = 0; i < array.entries; i++) {
    const address = array.address + BigInt(i * array.entryBytes);
    const data = { type, address, lengthBytes: array.entryBytes };
    const entry = userData(ctx.host, data, type, layout, 'iotlb_id');
    if (typeof entry === 'number') return entry;
    const err = drop(nested.iotlb, Number(entry['flags']), Number(entry['iotlb_id']));
    if (err !== 0) return err;
    f['entry_num'] = i + 1;
  }
  return 0;
}

/** mock_viommu_cache_invalidate: all entries are read before the first is obeyed. */
function invalidateViommu(ctx: SimContext, f: SimFields, viommu: SimViommuObject, array: Entries): Errno {
  if (array.type !== test.IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST) return -EINVAL;
  const layout = test.IOMMU_VIOMMU_INVALIDATE_SELFTEST;
  const read: SimFields[] = [];
  for (let i = 0; i < array.entries; i++) {
    const address = array.address + BigInt(i * array.entryBytes);
    const entry = paddedUserData(ctx.host, address, array.entryBytes, layout);
    if (typeof entry === 'number') return entry;
    read.push(entry);
  }
  for (const [i, entry] of read.entries()) {
    const vdevice = viommu.vdevices.get(BigInt(entry['vdev_id']!));
    const flags = Number(entry['flags']);
    if ((flags & ~test.IOMMU_TEST_INVALIDATE_FLAG_ALL) !== 0) return -EOPNOTSUPP;
    if (Number(entry['cache_id']) >= test.MOCK_IOTLB_ENTRIES || vdevice === undefined) return -EINVAL;
    drop(vdevice.device.mock!.cache, flags, Number(entry['cache_id']));
    f['entry_num'] = i + 1;
  }
  return 0;
}

function drop(cache: Uint32Array, flags: number, entry: number): Errno {
  if ((flags & ~test.IOMMU_TEST_INVALIDATE_FLAG_ALL) !== 0) return -EOPNOTSUPP;
  if (entry >= cache.length) return -EINVAL;
  if (flags === 0) cache[entry] = 0;
  else cache.fill(0);
  return 0;
}
