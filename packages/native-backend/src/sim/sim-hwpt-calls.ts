import { EINVAL, ENOENT, EOPNOTSUPP, type Errno } from '@gpusvm/kernel';
import * as uapi from '../uapi/iommufd.ts';
import { IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED, IOMMU_HW_INFO_TYPE_NONE } from '../uapi/iommufd-hardware.ts';
import { allocHwpt } from './sim-attach.ts';
import type { SimContext } from './sim-context.ts';
import { readDirtyBitmap, setDirtyTracking } from './sim-dirty.ts';
import { SimFaultQueue } from './sim-fault-queue.ts';
import { nestedAlloc } from './sim-nested-calls.ts';
import type { SimCallEntry, SimFaultObject, SimFields } from './sim-objects.ts';

/* Calls on page tables and devices (drivers/iommu/iommufd/hw_pagetable.c, device.c, eventq.c). */

const HWPT_FLAGS =
  uapi.IOMMU_HWPT_ALLOC_NEST_PARENT |
  uapi.IOMMU_HWPT_ALLOC_DIRTY_TRACKING |
  uapi.IOMMU_HWPT_FAULT_ID_VALID |
  uapi.IOMMU_HWPT_ALLOC_PASID;

/** The part of main.c's table that is about page tables. */
export const SIM_HWPT_CALLS: readonly SimCallEntry[] = [
  { call: uapi.IOMMU_HWPT_ALLOC, run: hwptAlloc },
  { call: uapi.IOMMU_GET_HW_INFO, run: hwInfo },
  { call: uapi.IOMMU_HWPT_SET_DIRTY_TRACKING, run: setDirty },
  { call: uapi.IOMMU_HWPT_GET_DIRTY_BITMAP, run: getDirty },
  { call: uapi.IOMMU_FAULT_QUEUE_ALLOC, run: faultQueueAlloc },
];

/** The fields are numbers or bigints by their type in the table. */
const num = (value: number | bigint | undefined): number => Number(value);
const big = (value: number | bigint | undefined): bigint => BigInt(value ?? 0);

function hwptAlloc(ctx: SimContext, f: SimFields): Errno {
  const flags = num(f['flags']);
  if (f['__reserved'] !== 0) return -EOPNOTSUPP;
  if ((f['data_type'] === 0) !== (f['data_len'] === 0)) return -EINVAL;
  const device = ctx.objects.find(num(f['dev_id']), 'device');
  if (device === null) return -ENOENT;
  const target = ctx.objects.get(num(f['pt_id']));
  if (target === null) return -EINVAL;
  if (target.kind === 'hwpt' || target.kind === 'viommu') return nestedAlloc(ctx, f, target);
  if (target.kind !== 'ioas') return -EINVAL;
  const { driver, kernel } = ctx.host;
  // No simulated driver takes data for a page table of the host.
  if ((flags & ~HWPT_FLAGS) !== 0 || f['data_len'] !== 0) return -EOPNOTSUPP;
  const nestParent = (flags & uapi.IOMMU_HWPT_ALLOC_NEST_PARENT) !== 0;
  if (nestParent && !driver.nesting) return -EOPNOTSUPP;
  const pasid = (flags & uapi.IOMMU_HWPT_ALLOC_PASID) !== 0;
  if (pasid && !(driver.pasidTables && kernel.virtualization)) return -EOPNOTSUPP;
  const wantsFault = (flags & uapi.IOMMU_HWPT_FAULT_ID_VALID) !== 0;
  if (wantsFault && (nestParent || !kernel.pagingFaultQueues)) return -EOPNOTSUPP;
  const fault = wantsFault ? ctx.objects.find(num(f['fault_id']), 'fault') : null;
  const dirty = (flags & uapi.IOMMU_HWPT_ALLOC_DIRTY_TRACKING) !== 0;
  if (dirty && (!driver.dirtyTracking || device.mock?.noDirty === true)) return -EOPNOTSUPP;
  if (wantsFault && fault === null) return -ENOENT;
  const hwpt = allocHwpt(ctx, target, { auto: false, dirty, nestParent, pasid, fault });
  if (typeof hwpt === 'number') return hwpt;
  f['out_hwpt_id'] = hwpt.id;
  return 0;
}

function hwInfo(ctx: SimContext, f: SimFields): Errno {
  const { driver, kernel } = ctx.host;
  const known = kernel.hwInfoTypes ? uapi.IOMMU_HW_INFO_FLAG_INPUT_TYPE : 0;
  if ((num(f['flags']) & ~known) !== 0) return -EOPNOTSUPP;
  if (f['__reserved0'] !== 0 || f['__reserved1'] !== 0 || f['__reserved2'] !== 0) return -EOPNOTSUPP;
  const device = ctx.objects.find(num(f['dev_id']), 'device');
  if (device === null) return -ENOENT;
  const { type, capabilities, data } = driver.hwInfo;
  const wanted = num(f['flags']) === 0 ? IOMMU_HW_INFO_TYPE_NONE : num(f['out_data_type']);
  // A driver that tells nothing is not asked.
  if (type !== IOMMU_HW_INFO_TYPE_NONE && wanted !== IOMMU_HW_INFO_TYPE_NONE && wanted !== type)
    return -EOPNOTSUPP;
  const room = new Uint8Array(num(f['data_len']));
  room.set(data.subarray(0, room.length));
  const err = ctx.host.space.copyToUser(big(f['data_uptr']), room);
  if (room.length > 0 && err !== 0) return err;
  f['data_len'] = data.length;
  f['out_data_type'] = type;
  f['out_max_pasid_log2'] = Math.log2(device.mock?.pasids ?? 1);
  f['out_capabilities'] = capabilities | (kernel.hwInfoTypes ? IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED : 0n);
  return 0;
}

function setDirty(ctx: SimContext, f: SimFields): Errno {
  if ((num(f['flags']) & ~uapi.IOMMU_HWPT_DIRTY_TRACKING_ENABLE) !== 0) return -EOPNOTSUPP;
  const hwpt = ctx.objects.find(num(f['hwpt_id']), 'hwpt');
  return hwpt === null ? -ENOENT : setDirtyTracking(hwpt, f['flags'] === 1);
}

function getDirty(ctx: SimContext, f: SimFields): Errno {
  const flags = num(f['flags']);
  if ((flags & ~uapi.IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) !== 0 || f['__reserved'] !== 0) return -EOPNOTSUPP;
  const hwpt = ctx.objects.find(num(f['hwpt_id']), 'hwpt');
  if (hwpt === null) return -ENOENT;
  return readDirtyBitmap(ctx.host, hwpt, {
    iova: big(f['iova']),
    length: big(f['length']),
    page_size: big(f['page_size']),
    data: big(f['data']),
    keep: flags !== 0,
  });
}

function faultQueueAlloc(ctx: SimContext, f: SimFields): Errno {
  if (f['flags'] !== 0) return -EOPNOTSUPP;
  const object: SimFaultObject = {
    kind: 'fault',
    id: ctx.objects.nextId(),
    // Its descriptor.
    users: 1,
    queue: new SimFaultQueue(() => {
      object.users--;
      ctx.letGo();
    }),
  };
  ctx.hold();
  ctx.objects.add(object);
  f['out_fault_id'] = object.id;
  f['out_fault_fd'] = ctx.host.installFile(object.queue);
  return 0;
}
