import { type ContractCheck, same } from '@gpusvm/dma-iova/contract';
import { resultName } from '../errno.ts';
import { invoke } from '../invoke.ts';
import type { Sys } from '../sys.ts';
import * as test from '../uapi/iommufd-test-virtual.ts';
import { decode, encoded } from '../uapi/layout.ts';
import type { Viommu } from '../viommu.ts';
import { codeOf, inMockWorld, replaceMock } from './mock-world.ts';
import type { NativeWorld } from './native-world.ts';
import { iotlbData } from './nested-contract.ts';

const PAGE = 4096;
const IOVA = 0x2000000;
const TYPE = test.IOMMU_VIOMMU_TYPE_SELFTEST;
const QUEUE = test.IOMMU_HW_QUEUE_TYPE_SELFTEST;
const EVENT = { type: test.IOMMU_VEVENTQ_TYPE_SELFTEST, eventBytes: 4 };
const CACHED = test.IOMMU_TEST_DEV_CACHE_DEFAULT;

/**
 * The IOMMU of a guest with its devices, events and command queues, on the selftest's mock device. Needs Linux 7.3 with
 * CONFIG_IOMMUFD_TEST and no IOMMU.
 */
export function viommuContract(makeSys: () => Sys): readonly ContractCheck[] {
  const check = inMockWorld(makeSys);
  return [
    check('a vIOMMU needs a parent for nesting and a type of the driver; its data comes back', allocation),
    check('a device has one number in one vIOMMU, and a number one device', numbers),
    check('invalidations of a vIOMMU reach the device by its number', invalidations),
    check('events reach the queue of their type in order, and a full queue says that some were lost', events),
    check('a command queue locks its memory, and queues go in the reverse order', commandQueues),
    check('everything of a vIOMMU goes with it, and it holds its parent', lifetime),
  ];
}

function makeViommu({ ioas, mock }: NativeWorld): Viommu {
  const device = { id: mock.deviceId };
  return ioas.allocHwpt(device, { nestParent: true }).allocViommu(device, { type: TYPE });
}

function allocation({ ioas, mock, sys, iommufd }: NativeWorld): void {
  const device = { id: mock.deviceId };
  const plain = ioas.allocHwpt(device);
  const parent = ioas.allocHwpt(device, { nestParent: true });
  const codes = [
    codeOf(() => plain.allocViommu(device, { type: TYPE })),
    codeOf(() => parent.allocViommu(device, { type: 0 })),
    codeOf(() => parent.allocViommu(device, { type: 1 })),
    codeOf(() => parent.allocViommu({ id: 0xffff }, { type: TYPE })),
    codeOf(() => parent.allocViommu(device, { type: TYPE, data: new Uint8Array(4) })),
  ];
  same(codes, ['EINVAL', 'EOPNOTSUPP', 'EOPNOTSUPP', 'ENOENT', 'EINVAL'], 'refusals');
  const data = encoded(test.IOMMU_VIOMMU_SELFTEST, { in_data: 0x1234 });
  parent.allocViommu(device, { type: TYPE, data });
  const out = decode(test.IOMMU_VIOMMU_SELFTEST, data);
  const length = Number(out.out_mmap_length);
  same(
    [out.out_data, length, Number(out.out_mmap_offset)],
    [0x1234, 2 * PAGE, PAGE],
    'what the driver answers',
  );
  const request = { fd: iommufd.fd, offsetBytes: Number(out.out_mmap_offset) };
  same(resultName(sys.mmap({ ...request, lengthBytes: PAGE }) as number), 'ENXIO', 'mmap of a part');
  const pages = sys.mmap({ ...request, lengthBytes: length });
  if (typeof pages === 'number') throw new Error(`mmap: ${resultName(pages)}`);
  same(pages.read(0, 32), 0x1234, 'first word of the pages');
  pages.unmap();
}

function numbers(world: NativeWorld): void {
  const { iommufd, mock } = world;
  const device = { id: mock.deviceId };
  const viommu = makeViommu(world);
  const other = viommu.parent.allocViommu(device, { type: TYPE });
  const vdevice = viommu.allocVdevice(device, 0x99);
  const codes = [
    codeOf(() => viommu.allocVdevice(device, 0x98)),
    codeOf(() => other.allocVdevice(device, 0x99)),
    codeOf(() => viommu.allocVdevice({ id: 0xffff }, 0x97)),
    codeOf(() => iommufd.destroyObject(viommu.id)),
  ];
  same(codes, ['EEXIST', 'EEXIST', 'ENOENT', 'EBUSY'], 'second number, second vIOMMU, no device, destroy');
  const nested = viommu.allocNested(device, { data: iotlbData() });
  same(replaceMock(world, nested.id), nested.id, 'attach of the device with a number');
  replaceMock(world, world.ioas.id);
  vdevice[Symbol.dispose]();
  same(resultName(replaceMock(world, nested.id)), 'ENOENT', 'attach of the device without a number');
  same(
    codeOf(() => other.allocVdevice(device, 2n ** 64n - 1n)[Symbol.dispose]()),
    '0',
    'the largest number',
  );
}

function invalidations(world: NativeWorld): void {
  const { sys, iommufd, mock } = world;
  const viommu = makeViommu(world);
  viommu.allocVdevice({ id: mock.deviceId }, 0x99);
  const entry = (vdev: number, cache: number, flags = 0): Uint8Array =>
    encoded(test.IOMMU_VIOMMU_INVALIDATE_SELFTEST, { flags, vdev_id: vdev, cache_id: cache });
  const cached = (): string =>
    [0, 1, 2, 3]
      .map((i) => {
        const values = { op: test.IOMMU_TEST_OP_DEV_CHECK_CACHE, id: mock.deviceId, entry: i, value: CACHED };
        return invoke(sys, iommufd.fd, test.TEST_CHECK_CACHE, values).result === 0 ? String(i) : '-';
      })
      .join('');
  const run = (...entries: Uint8Array[]): string => {
    const { result, handled } = viommu.invalidate(TYPE, entries);
    return `${resultName(result)} ${handled} ${cached()}`;
  };
  const got = [
    run(),
    run(entry(0x99, 1)),
    run(entry(0x99, 0), entry(0x98, 2), entry(0x99, 3)),
    run(entry(0x99, 4)),
    run(entry(0x99, 2, 2)),
    run(new Uint8Array([...entry(0x99, 2), 0, 0, 0, 0])),
    run(new Uint8Array([...entry(0x99, 3), 0, 0, 0, 1])),
    run(entry(0x99, 0, 1)),
  ];
  const wanted = [
    '0 0 0123',
    '0 1 0-23',
    'EINVAL 1 --23',
    'EINVAL 0 --23',
    'EOPNOTSUPP 0 --23',
    '0 1 ---3',
    'E2BIG 0 ---3',
    '0 1 ----',
  ];
  same(got, wanted, 'result, entries handled, what is still cached');
  same(resultName(viommu.invalidate(1, []).result), 'EINVAL', 'entries of another type');
}

function events(world: NativeWorld): void {
  const { sys, iommufd, mock } = world;
  const device = { id: mock.deviceId };
  const viommu = makeViommu(world);
  const trigger = (): string => {
    const values = { op: test.IOMMU_TEST_OP_TRIGGER_VEVENT, dev_id: device.id };
    return resultName(invoke(sys, iommufd.fd, test.TEST_TRIGGER_VEVENT, values).result);
  };
  viommu.allocVdevice(device, 0x99);
  same(trigger(), 'ENOENT', 'an event of a device outside of the vIOMMU');
  const nested = viommu.allocNested(device, { data: iotlbData() });
  replaceMock(world, nested.id);
  same(trigger(), 'EOPNOTSUPP', 'an event without a queue');
  same(
    codeOf(() => viommu.allocEventQueue({ ...EVENT, depth: 0 })),
    'EINVAL',
    'a queue of depth 0',
  );
  same(
    codeOf(() => viommu.allocEventQueue({ ...EVENT, type: 0, depth: 1 })),
    'EOPNOTSUPP',
    'type 0',
  );
  const queue = viommu.allocEventQueue({ ...EVENT, depth: 2 });
  same(
    codeOf(() => viommu.allocEventQueue({ ...EVENT, depth: 2 })),
    'EEXIST',
    'a second queue of the type',
  );
  same(
    codeOf(() => iommufd.destroyObject(queue.id)),
    'EBUSY',
    'destroy while its descriptor is open',
  );
  const read = (): string[] =>
    queue.read().map(({ sequence, data }) => `${sequence}:${data === null ? 'lost' : data.join(' ')}`);
  same(read(), [], 'events at the start');
  same([trigger(), read()], ['0', ['0:153 0 0 0']], 'one event');
  for (let i = 0; i < 4; i++) trigger();
  same(read(), ['1:153 0 0 0', '2:153 0 0 0', '4:lost'], 'four events in a queue of two');
  trigger();
  same(resultName(sys.read(queue.fd, new Uint8Array(4), null)), 'EINVAL', 'a read without room for a header');
  same(resultName(sys.read(queue.fd, new Uint8Array(8), null)), 'EINVAL', 'a read without room for an event');
  same(read(), ['5:153 0 0 0'], 'the next event');
  replaceMock(world, world.ioas.id);
}

function commandQueues(world: NativeWorld): void {
  const { iommufd, ioas, arena } = world;
  const viommu = makeViommu(world);
  ioas.map({ memory: arena.memory, offsetBytes: arena.offsetOf(0), lengthBytes: PAGE, iova: IOVA });
  const options = { type: QUEUE, iova: IOVA, lengthBytes: PAGE };
  const alloc = (changes: object): string =>
    codeOf(() => viommu.allocHwQueue({ ...options, index: 0, ...changes }));
  const codes = [
    alloc({ type: 0 }),
    alloc({ type: 1 }),
    alloc({ lengthBytes: 0 }),
    alloc({ iova: 2n ** 64n - 4096n, lengthBytes: 8192 }),
    alloc({ iova: IOVA + PAGE }),
    alloc({ lengthBytes: PAGE + 1 }),
    alloc({ index: 2 }),
    alloc({ index: 1 }),
  ];
  const wanted = ['EOPNOTSUPP', 'EOPNOTSUPP', 'EINVAL', 'EOVERFLOW', 'ENOENT', 'ENOENT', 'EINVAL', 'EIO'];
  same(codes, wanted, 'type 0, type 1, length 0, wrap, not mapped, beyond, index 2, index 1 without 0');
  same(ioas.unmap(IOVA, PAGE), PAGE, 'what a refused queue had locked');
  ioas.map({ memory: arena.memory, offsetBytes: arena.offsetOf(0), lengthBytes: PAGE, iova: IOVA });
  const first = viommu.allocHwQueue({ ...options, index: 0 });
  same(alloc({}), 'EEXIST', 'a taken index');
  viommu.allocHwQueue({ ...options, index: 1, iova: IOVA + 64, lengthBytes: 128 });
  same(
    codeOf(() => iommufd.destroyObject(first.id)),
    'EBUSY',
    'destroy of the queue in front',
  );
  same(resultName(ioas.tryUnmap(IOVA, PAGE)), 'EBUSY', 'unmap under a queue');
  viommu[Symbol.dispose]();
  same(ioas.unmap(IOVA, PAGE), PAGE, 'unmap when the queues are gone');
}

function lifetime(world: NativeWorld): void {
  const { iommufd, mock } = world;
  const viommu = makeViommu(world);
  const device = { id: mock.deviceId };
  viommu.allocVdevice(device, 7);
  viommu.allocEventQueue({ ...EVENT, depth: 1 });
  viommu.allocNested(device, { data: iotlbData() });
  same(
    codeOf(() => iommufd.destroyObject(viommu.parent.id)),
    'EBUSY',
    'destroy of the parent',
  );
  same(
    codeOf(() => iommufd.destroyObject(viommu.id)),
    'EBUSY',
    'destroy of the vIOMMU',
  );
  viommu.parent[Symbol.dispose]();
  same(
    codeOf(() => iommufd.destroyObject(viommu.id)),
    'ENOENT',
    'destroy of what is gone',
  );
}
