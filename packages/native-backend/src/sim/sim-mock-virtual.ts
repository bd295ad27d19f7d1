import { EINVAL, ENOENT, EOPNOTSUPP, type Errno } from '@gpusvm/kernel';
import { IOMMU_TEST_OP_MD_CHECK_IOTLB } from '../uapi/iommufd-test.ts';
import * as uapi from '../uapi/iommufd-test-virtual.ts';
import { encoded, type Layout } from '../uapi/layout.ts';
import { attach, detach } from './sim-attach.ts';
import type { SimContext } from './sim-context.ts';
import type { SimFields } from './sim-objects.ts';

/** An operation of IOMMU_TEST_CMD: what the union means, and what is done. */
export interface SimMockOperation {
  readonly layout: Layout;
  /** Kernel that brought it; default: both have it. */
  readonly since?: '7.3';
  readonly run: (ctx: SimContext, fields: SimFields) => Errno;
}

/** The selftest's operations on nested page tables, vIOMMUs and PASIDs. */
export const SIM_MOCK_VIRTUAL: Readonly<Record<number, SimMockOperation>> = {
  [IOMMU_TEST_OP_MD_CHECK_IOTLB]: { layout: uapi.TEST_CHECK_CACHE.fields, run: checkIotlb },
  [uapi.IOMMU_TEST_OP_DEV_CHECK_CACHE]: {
    layout: uapi.TEST_CHECK_CACHE.fields,
    since: '7.3',
    run: checkDeviceCache,
  },
  [uapi.IOMMU_TEST_OP_TRIGGER_VEVENT]: {
    layout: uapi.TEST_TRIGGER_VEVENT.fields,
    since: '7.3',
    run: triggerVevent,
  },
  [uapi.IOMMU_TEST_OP_PASID_ATTACH]: pasidOperation((ctx, f) => change(ctx, f, 'attach')),
  [uapi.IOMMU_TEST_OP_PASID_REPLACE]: pasidOperation((ctx, f) => change(ctx, f, 'replace')),
  [uapi.IOMMU_TEST_OP_PASID_DETACH]: pasidOperation((ctx, f) => {
    const object = ctx.objects.find(Number(f['id']), 'selftest');
    if (object === null) return -ENOENT;
    detach(ctx, object.device, Number(f['pasid']));
    return 0;
  }),
  [uapi.IOMMU_TEST_OP_PASID_CHECK_HWPT]: pasidOperation(checkPasid),
};

function pasidOperation(run: SimMockOperation['run']): SimMockOperation {
  return { layout: uapi.TEST_PASID.fields, since: '7.3', run };
}

function checkIotlb(ctx: SimContext, f: SimFields): Errno {
  const nested = ctx.objects.find(Number(f['id']), 'nested');
  if (nested === null) return -ENOENT;
  return nested.iotlb[Number(f['entry'])] === f['value'] ? 0 : -EINVAL;
}

function checkDeviceCache(ctx: SimContext, f: SimFields): Errno {
  const device = ctx.objects.find(Number(f['id']), 'device');
  if (device === null) return -ENOENT;
  return device.mock?.cache[Number(f['entry'])] === f['value'] ? 0 : -EINVAL;
}

function triggerVevent(ctx: SimContext, f: SimFields): Errno {
  const mock = ctx.objects.find(Number(f['dev_id']), 'device')?.mock ?? null;
  if (mock === null || mock.viommu === null || mock.virtId === 0n) return -ENOENT;
  const queue = mock.viommu.eventQueues.find(({ type }) => type === uapi.IOMMU_VEVENTQ_TYPE_SELFTEST);
  if (queue === undefined) return -EOPNOTSUPP;
  queue.queue.report(
    encoded(uapi.IOMMU_VIOMMU_EVENT_SELFTEST, { virt_id: Number(BigInt.asUintN(32, mock.virtId)) }),
  );
  return 0;
}

function change(ctx: SimContext, f: SimFields, mode: 'attach' | 'replace'): Errno {
  const object = ctx.objects.find(Number(f['id']), 'selftest');
  if (object === null) return -ENOENT;
  const id = attach(ctx, object.device, Number(f['pt_id']), Number(f['pasid']), mode);
  if (id < 0) return id;
  f['pt_id'] = id;
  return 0;
}

/** 0 asks whether nothing is attached. */
function checkPasid(ctx: SimContext, f: SimFields): Errno {
  const object = ctx.objects.find(Number(f['id']), 'selftest');
  if (object === null) return -ENOENT;
  const pasid = Number(f['pasid']);
  const table = pasid === 0 ? object.device.hwpt : (object.device.pasids.get(pasid) ?? null);
  if (f['pt_id'] === 0) return table === null ? 0 : -EINVAL;
  const wanted = ctx.objects.get(Number(f['pt_id']));
  if (wanted === null) return -ENOENT;
  return wanted === table ? 0 : -EINVAL;
}
