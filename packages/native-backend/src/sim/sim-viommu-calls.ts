import {
  EADDRINUSE,
  EEXIST,
  EINVAL,
  EIO,
  ENOENT,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
  type Errno,
} from '@gpusvm/kernel';
import * as test from '../uapi/iommufd-test-virtual.ts';
import * as uapi from '../uapi/iommufd-virtual.ts';
import { encoded } from '../uapi/layout.ts';
import { accessPages } from './sim-access.ts';
import type { SimContext } from './sim-context.ts';
import type { SimRange } from './sim-driver.ts';
import { U64_MAX } from './sim-ioas.ts';
import type { SimAccessObject, SimCallEntry, SimFields } from './sim-objects.ts';
import { userData } from './sim-user-data.ts';
import { SimVeventq } from './sim-veventq.ts';
import type {
  SimHwQueueObject,
  SimVdeviceObject,
  SimVeventqObject,
  SimViommuMmap,
  SimViommuObject,
} from './sim-virtual-objects.ts';

/*
 * Objects of a guest's IOMMU (drivers/iommu/iommufd/viommu.c, eventq.c), with the selftest as the only driver that has
 * them: VT-d has none, AMD needs an option that guests are built without.
 */

const PAGE = 4096n;
const MAX_DEPTH = 1 << 19;

/** The part of main.c's table that is about a guest's IOMMU. */
export const SIM_VIOMMU_CALLS: readonly SimCallEntry[] = [
  { call: uapi.IOMMU_VIOMMU_ALLOC, since: '7.3', run: viommuAlloc },
  { call: uapi.IOMMU_VDEVICE_ALLOC, since: '7.3', run: vdeviceAlloc },
  { call: uapi.IOMMU_VEVENTQ_ALLOC, since: '7.3', run: veventqAlloc },
  { call: uapi.IOMMU_HW_QUEUE_ALLOC, since: '7.3', run: hwQueueAlloc },
];

function viommuAlloc(ctx: SimContext, f: SimFields): Errno {
  const type = Number(f['type']);
  if (f['flags'] !== 0 || type === 0) return -EOPNOTSUPP;
  const device = ctx.objects.find(Number(f['dev_id']), 'device');
  if (device === null) return -ENOENT;
  if (device.mock === null || type !== test.IOMMU_VIOMMU_TYPE_SELFTEST) return -EOPNOTSUPP;
  const hwpt = ctx.objects.find(Number(f['hwpt_id']), 'hwpt');
  if (hwpt === null) return -ENOENT;
  if (!hwpt.nestParent) return -EINVAL;
  const mmap = f['data_len'] === 0 ? null : loopback(ctx, f);
  if (typeof mmap === 'number') return mmap;
  const viommu: SimViommuObject = {
    kind: 'viommu',
    id: ctx.objects.nextId(),
    users: 0,
    hwpt,
    vdevices: new Map(),
    eventQueues: [],
    hwQueues: Array.from({ length: test.IOMMU_TEST_HW_QUEUE_MAX }, () => null),
    mmap,
  };
  hwpt.users++;
  ctx.objects.add(viommu);
  f['out_viommu_id'] = viommu.id;
  return 0;
}

/** mock_viommu_init: the number comes back, and two pages can be mapped. */
function loopback(ctx: SimContext, f: SimFields): SimViommuMmap | Errno {
  const type = test.IOMMU_VIOMMU_TYPE_SELFTEST;
  const layout = test.IOMMU_VIOMMU_SELFTEST;
  const data = { type, address: BigInt(f['data_uptr']!), lengthBytes: Number(f['data_len']) };
  const values = userData(ctx.host, data, type, layout, 'out_data');
  if (typeof values === 'number') return values;
  const firstWord = Number(values['in_data']);
  const mmap = {
    offsetBytes: ctx.freeMmapOffset(2 * Number(PAGE)),
    lengthBytes: 2 * Number(PAGE),
    firstWord,
  };
  const out = encoded(layout, {
    in_data: firstWord,
    out_data: firstWord,
    out_mmap_offset: mmap.offsetBytes,
    out_mmap_length: mmap.lengthBytes,
  });
  const err = ctx.host.space.copyToUser(data.address, out.subarray(0, data.lengthBytes));
  return err === 0 ? mmap : err;
}

function vdeviceAlloc(ctx: SimContext, f: SimFields): Errno {
  const viommu = ctx.objects.find(Number(f['viommu_id']), 'viommu');
  if (viommu === null) return -ENOENT;
  const device = ctx.objects.find(Number(f['dev_id']), 'device');
  if (device === null) return -ENOENT;
  const virtId = BigInt(f['virt_id']!);
  if (device.vdevice !== null || viommu.vdevices.has(virtId)) return -EEXIST;
  const vdevice: SimVdeviceObject = {
    kind: 'vdevice',
    id: ctx.objects.nextId(),
    users: 0,
    viommu,
    device,
    virtId,
  };
  viommu.users++;
  viommu.vdevices.set(virtId, vdevice);
  device.vdevice = vdevice;
  ctx.objects.add(vdevice);
  f['out_vdevice_id'] = vdevice.id;
  return 0;
}

function veventqAlloc(ctx: SimContext, f: SimFields): Errno {
  const type = Number(f['type']);
  const depth = Number(f['veventq_depth']);
  if (f['flags'] !== 0 || f['__reserved'] !== 0 || type === 0) return -EOPNOTSUPP;
  if (depth === 0 || depth > MAX_DEPTH) return -EINVAL;
  const viommu = ctx.objects.find(Number(f['viommu_id']), 'viommu');
  if (viommu === null) return -ENOENT;
  if (viommu.eventQueues.some((queue) => queue.type === type)) return -EEXIST;
  const queue = new SimVeventq(depth, () => {
    object.users--;
    ctx.letGo();
  });
  const object: SimVeventqObject = {
    kind: 'veventq',
    id: ctx.objects.nextId(),
    // Its descriptor.
    users: 1,
    viommu,
    type,
    queue,
  };
  ctx.hold();
  viommu.users++;
  viommu.eventQueues.push(object);
  ctx.objects.add(object);
  f['out_veventq_id'] = object.id;
  f['out_veventq_fd'] = ctx.host.installFile(queue);
  return 0;
}

function hwQueueAlloc(ctx: SimContext, f: SimFields): Errno {
  const type = Number(f['type']);
  const start = BigInt(f['nesting_parent_iova']!);
  const length = BigInt(f['length']!);
  if (f['flags'] !== 0 || type === 0) return -EOPNOTSUPP;
  if (length === 0n) return -EINVAL;
  if (start + length - 1n > U64_MAX) return -EOVERFLOW;
  const viommu = ctx.objects.find(Number(f['viommu_id']), 'viommu');
  if (viommu === null) return -ENOENT;
  if (type !== test.IOMMU_HW_QUEUE_TYPE_SELFTEST) return -EOPNOTSUPP;
  const id = ctx.objects.reserveId();
  const result = makeHwQueue(ctx, viommu, { id, index: Number(f['index']), start, length });
  ctx.objects.releaseId(id);
  if (typeof result === 'number') return result;
  ctx.objects.add(result);
  f['out_hw_queue_id'] = id;
  return 0;
}

interface HwQueueRequest {
  readonly id: number;
  readonly index: number;
  readonly start: bigint;
  readonly length: bigint;
}

/** The memory is pinned and locked by an access of its own before the driver looks at the index. */
function makeHwQueue(ctx: SimContext, viommu: SimViommuObject, r: HwQueueRequest): SimHwQueueObject | Errno {
  const first = r.start - (r.start % PAGE);
  const pages = (r.start + r.length - first + PAGE - 1n) / PAGE;
  const access = lockedAccess(ctx, viommu, { start: first, last: first + pages * PAGE - 1n });
  if (typeof access === 'number') return access;
  const queue: SimHwQueueObject = { kind: 'hwqueue', id: r.id, users: 0, viommu, index: r.index, access };
  const previous = viommu.hwQueues[r.index - 1];
  viommu.users++;
  const err = hwQueueInit(viommu, r.index);
  if (err !== 0) {
    ctx.dropHwQueueAccess(access);
    viommu.users--;
    return err;
  }
  viommu.hwQueues[r.index] = queue;
  if (previous !== undefined && previous !== null) previous.users++;
  return queue;
}

/** mock_hw_queue_init_phys: indices from 0, without a gap. */
function hwQueueInit(viommu: SimViommuObject, index: number): Errno {
  if (index >= viommu.hwQueues.length) return -EINVAL;
  if (viommu.hwQueues[index] !== null) return -EEXIST;
  return index > 0 && viommu.hwQueues[index - 1] === null ? -EIO : 0;
}

/** iommufd_hw_queue_alloc_phys: pages of one region of simulated memory count as contiguous. */
function lockedAccess(ctx: SimContext, viommu: SimViommuObject, range: SimRange): SimAccessObject | Errno {
  const { parent } = viommu.hwpt;
  const { ioas } = parent;
  if (ioas.addAccess(PAGE) !== 0) return -EADDRINUSE;
  const err = lock(ioas, range);
  if (err !== 0) {
    ioas.removeAccess(PAGE);
    return err;
  }
  const access: SimAccessObject = {
    kind: 'access',
    id: ctx.objects.nextId(),
    users: 1,
    parent,
    alignment: PAGE,
    items: new Map([[0, range]]),
    nextItem: 1,
  };
  parent.users++;
  ctx.objects.add(access);
  return access;
}

function lock(ioas: SimAccessObject['parent']['ioas'], range: SimRange): Errno {
  const slices = ioas.slices(range.start, range.last - range.start + 1n);
  if (typeof slices === 'number') return slices;
  const areas = ioas.areas.filter((a) => a.iova <= range.last && a.last >= range.start);
  if (areas.some(({ readable }) => !readable)) return -EPERM;
  for (const [i, area] of areas.entries()) {
    const err = area.pages.pin(...accessPages(area, range));
    if (err === 0) continue;
    for (const undo of areas.slice(0, i)) undo.pages.unpin(...accessPages(undo, range));
    return err;
  }
  for (const area of areas) {
    area.accesses++;
    area.locks++;
  }
  return 0;
}
