import { type ContractCheck, same } from '@gpusvm/dma-iova/contract';
import type { Hwpt } from '../hwpt.ts';
import { invoke } from '../invoke.ts';
import type { NestedHwpt } from '../nested-hwpt.ts';
import { resultName } from '../errno.ts';
import type { Sys } from '../sys.ts';
import * as mock from '../uapi/iommufd-test.ts';
import * as test from '../uapi/iommufd-test-virtual.ts';
import { IOMMUFD_CALLS } from '../uapi/iommufd-calls.ts';
import { IOMMU_HWPT_INVALIDATE } from '../uapi/iommufd-virtual.ts';
import { encoded } from '../uapi/layout.ts';
import { codeOf, inMockWorld, replaceMock } from './mock-world.ts';
import type { NativeWorld } from './native-world.ts';
import type { Platform } from './row.ts';

const INVALIDATE = test.IOMMU_HWPT_INVALIDATE_DATA_SELFTEST;
const START = 0xbadbeef;

/** What the calls of this header are for a kernel that lacks them. */
const MISSING_IN_6_12 = [
  'IOMMU_IOAS_MAP_FILE',
  'IOMMU_VIOMMU_ALLOC',
  'IOMMU_VDEVICE_ALLOC',
  'IOMMU_IOAS_CHANGE_PROCESS',
  'IOMMU_VEVENTQ_ALLOC',
  'IOMMU_HW_QUEUE_ALLOC',
  'IOMMU_IOAS_NOIOMMU_GET_PA',
];

/**
 * Page tables of a guest and their invalidation, on the selftest's mock device: what its IOTLB holds can be asked. Needs
 * CONFIG_IOMMUFD_TEST and no IOMMU.
 *
 * @param kernel - 6.12 has no vIOMMUs, and one field less in the data.
 */
export function nestedContract(makeSys: () => Sys, kernel: Platform['kernel']): readonly ContractCheck[] {
  const check = inMockWorld(makeSys);
  return [
    check('feature probing names the calls that this kernel lacks', (world) => {
      const lacking = IOMMUFD_CALLS.filter((call) => !world.iommufd.supports(call)).map(({ name }) => name);
      same(lacking, kernel === '6.12' ? MISSING_IN_6_12 : [], 'calls that are not there');
    }),
    check(
      'a page table of a guest needs a parent that was made for it, and data of the right size',
      (world) => refusals(world, kernel),
    ),
    check('an invalidation drops one entry or all, and stops at the first bad one', invalidations),
    check('what an invalidation says before it looks at an entry', (world) => badArrays(world, kernel)),
    check('a page table of a guest can be attached, holds its parent, and goes before it', lifetime),
    check('a page table of a guest lets page requests into its queue', pageRequests),
  ];
}

/** Data of the mock's nested page table: the first field is all that both kernels have. */
export function iotlbData(): { readonly type: number; readonly bytes: Uint8Array } {
  return {
    type: test.IOMMU_HWPT_DATA_SELFTEST,
    bytes: encoded([test.IOMMU_HWPT_SELFTEST[0]], { iotlb: START }),
  };
}

function entry(iotlbId: number, flags = 0): Uint8Array {
  return encoded(test.IOMMU_HWPT_INVALIDATE_SELFTEST, { flags, iotlb_id: iotlbId });
}

/** Which of the four entries still hold what the page table was made with. */
function held({ sys, iommufd }: NativeWorld, nested: NestedHwpt): string {
  const holds = [0, 1, 2, 3].map((i) => {
    const values = { op: mock.IOMMU_TEST_OP_MD_CHECK_IOTLB, id: nested.id, entry: i, value: START };
    return invoke(sys, iommufd.fd, test.TEST_CHECK_CACHE, values).result === 0 ? String(i) : '-';
  });
  return holds.join('');
}

function parentOf({ ioas, mock: ids }: NativeWorld): Hwpt {
  return ioas.allocHwpt({ id: ids.deviceId }, { nestParent: true });
}

function refusals(world: NativeWorld, kernel: Platform['kernel']): void {
  const device = { id: world.mock.deviceId };
  const plain = world.ioas.allocHwpt(device);
  const parent = parentOf(world);
  const withBytes = (bytes: number): string => {
    const data = { ...iotlbData(), bytes: new Uint8Array(bytes) };
    return codeOf(() => parent.allocNested(device, { data })[Symbol.dispose]());
  };
  same(
    codeOf(() => plain.allocNested(device, { data: iotlbData() })),
    'EINVAL',
    'parent without nestParent',
  );
  same(
    codeOf(() => parent.allocNested(device, { data: { ...iotlbData(), type: 1 } })),
    'EOPNOTSUPP',
    'data of VT-d',
  );
  same(
    codeOf(() => parent.allocNested({ id: 0xffff }, { data: iotlbData() })),
    'ENOENT',
    'a device that is not there',
  );
  const second = kernel === '6.12' ? 'EINVAL' : '0';
  same([0, 2, 4, 8, 12].map(withBytes), ['EINVAL', 'EINVAL', '0', second, 'EINVAL'], 'data by size');
}

function invalidations(world: NativeWorld): void {
  const nested = parentOf(world).allocNested({ id: world.mock.deviceId }, { data: iotlbData() });
  same(held(world, nested), '0123', 'entries at the start');
  same(nested.invalidate(INVALIDATE, [entry(1)]), { result: 0, handled: 1 }, 'one entry');
  same(held(world, nested), '0-23', 'entries after one');
  const stopped = nested.invalidate(INVALIDATE, [entry(3), entry(9), entry(0)]);
  same(
    [resultName(stopped.result), stopped.handled, held(world, nested)],
    ['EINVAL', 1, '0-2-'],
    'a bad number in the middle',
  );
  const flagged = nested.invalidate(INVALIDATE, [entry(0, 2)]);
  same([resultName(flagged.result), flagged.handled], ['EOPNOTSUPP', 0], 'an unknown flag');
  same(nested.invalidate(INVALIDATE, []), { result: 0, handled: 0 }, 'no entry');
  same(nested.invalidate(INVALIDATE, [entry(2, 1)]), { result: 0, handled: 1 }, 'all entries');
  same(held(world, nested), '----', 'entries after all');
}

function badArrays(world: NativeWorld, kernel: Platform['kernel']): void {
  const parent = parentOf(world);
  const nested = parent.allocNested({ id: world.mock.deviceId }, { data: iotlbData() });
  const { sys, iommufd } = world;
  const good = {
    hwpt_id: nested.id,
    data_uptr: iommufd.scratch(64).address,
    data_type: INVALIDATE,
    entry_len: 8,
    entry_num: 1,
  };
  iommufd.scratch(64).bytes.fill(0);
  const results = [
    {},
    { __reserved: 1 },
    { data_uptr: 0n },
    { entry_len: 0 },
    { entry_len: 4 },
    { entry_len: 16 },
    { entry_len: 4097 },
    { data_type: 1, entry_num: 0 },
    { data_uptr: 8n },
    { hwpt_id: 0xffff },
    { hwpt_id: parent.id },
  ].map((change) => {
    const { result, out } = invoke(sys, iommufd.fd, IOMMU_HWPT_INVALIDATE, { ...good, ...change });
    return `${resultName(result)} ${out.entry_num}`;
  });
  // 6.12 looks for a nested page table and nothing else.
  const paging = kernel === '6.12' ? 'ENOENT 0' : 'EINVAL 0';
  same(
    results,
    [
      '0 1',
      'EOPNOTSUPP 0',
      'EINVAL 0',
      'EINVAL 0',
      'EINVAL 0',
      'EINVAL 0',
      'EINVAL 0',
      'EINVAL 0',
      'EFAULT 0',
      'ENOENT 0',
      paging,
    ],
    'results and entries handled',
  );
}

function lifetime(world: NativeWorld): void {
  const parent = parentOf(world);
  const nested = parent.allocNested({ id: world.mock.deviceId }, { data: iotlbData() });
  same(replaceMock(world, nested.id), nested.id, 'attach to the page table of the guest');
  same(
    codeOf(() => world.iommufd.destroyObject(nested.id)),
    'EBUSY',
    'destroy while attached',
  );
  same(
    codeOf(() => world.iommufd.destroyObject(parent.id)),
    'EBUSY',
    'destroy of the parent',
  );
  same(replaceMock(world, parent.id), parent.id, 'attach to the parent');
  nested[Symbol.dispose]();
  same(
    codeOf(() => world.iommufd.destroyObject(nested.id)),
    'ENOENT',
    'destroy of what is gone',
  );
  replaceMock(world, world.ioas.id);
  parent[Symbol.dispose]();
}

function pageRequests(world: NativeWorld): void {
  const { sys, iommufd } = world;
  const device = { id: world.mock.deviceId };
  const faultQueue = iommufd.allocFaultQueue();
  const nested = parentOf(world).allocNested(device, { data: iotlbData(), faultQueue });
  replaceMock(world, nested.id);
  same(
    codeOf(() => iommufd.destroyObject(faultQueue.id)),
    'EBUSY',
    'destroy of the queue in use',
  );
  invoke(sys, iommufd.fd, mock.TEST_TRIGGER_IOPF, {
    op: mock.IOMMU_TEST_OP_TRIGGER_IOPF,
    dev_id: device.id,
    grpid: 5,
    perm: 1,
    addr: 0x1000n,
  });
  const [request] = faultQueue.read();
  same([request?.grpid, request?.addr.toString()], [5, '4096'], 'the page request');
  faultQueue.respond(request!.cookie, true);
  replaceMock(world, world.ioas.id);
  nested[Symbol.dispose]();
}
