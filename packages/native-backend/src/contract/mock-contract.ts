import { type ContractCheck, same } from '@gpusvm/dma-iova/contract';
import { EINVAL, EIO, ENOENT } from '@gpusvm/kernel';
import { invoke } from '../invoke.ts';
import { KernelError } from '../kernel-error.ts';
import { memoryOf } from '../program/rig.ts';
import type { Sys } from '../sys.ts';
import * as mock from '../uapi/iommufd-test.ts';
import { NativeWorld } from './native-world.ts';
import type { Platform } from './row.ts';

const PAGE = 4096;
const BYTES = 8 * PAGE;
const IOVA = 0x2000000;

/**
 * What only the selftest's mock device can do or check: where mappings lead, how often memory is pinned, dirty tracking, page
 * requests, in-kernel accesses. Needs CONFIG_IOMMUFD_TEST and no IOMMU.
 *
 * @param kernel - 6.12 refuses fault queues for page tables over an IOAS.
 */
export function mockContract(makeSys: () => Sys, kernel: Platform['kernel']): readonly ContractCheck[] {
  const check = (name: string, run: (world: NativeWorld) => void): ContractCheck => ({
    name,
    run: () => {
      const world = new NativeWorld(makeSys(), 'mock', 64);
      try {
        run(world);
      } finally {
        world[Symbol.dispose]();
      }
    },
  });
  return [
    check('mappings lead to the memory that was mapped, and to no other', leadsToMemory),
    check('memory is pinned once a map call, and not any more after the unmap', pinCounts),
    check('dirty pages are reported once, with as many bits as were asked for', (world) =>
      dirtyPages(world, kernel),
    ),
    kernel === '6.12'
      ? check('a page table over an address space cannot have a fault queue', noFaultQueue)
      : check('page requests reach the queue of the page table and are answered by cookie', pageRequests),
    check('an access pins pages without a device and lets go when they are unmapped', accessPins),
  ];
}

function mapArena({ ioas, arena }: NativeWorld, iova: number): void {
  ioas.map({ memory: arena.memory, offsetBytes: arena.offsetOf(0), lengthBytes: BYTES, iova });
}

function addressOf({ arena }: NativeWorld, page: number): bigint {
  return arena.memory.address + BigInt(arena.offsetOf(page));
}

function leadsToMemory(world: NativeWorld): void {
  mapArena(world, IOVA);
  const { sys, iommufd } = world;
  const leadsTo = (uptr: bigint): number =>
    invoke(sys, iommufd.fd, mock.TEST_CHECK_MAP, {
      op: mock.IOMMU_TEST_OP_MD_CHECK_MAP,
      id: world.mock.hwptId,
      iova: IOVA,
      length: BYTES,
      uptr,
    }).result;
  same(
    [leadsTo(addressOf(world, 0)), leadsTo(addressOf(world, 1)), leadsTo(8n)],
    [0, -EINVAL, -EINVAL],
    'right, wrong and unaligned address',
  );
}

function pinCounts(world: NativeWorld): void {
  const { sys, iommufd } = world;
  const pinned = (refs: number): number =>
    invoke(sys, iommufd.fd, mock.TEST_CHECK_REFS, {
      op: mock.IOMMU_TEST_OP_MD_CHECK_REFS,
      length: BYTES,
      uptr: addressOf(world, 0),
      refs,
    }).result;
  // The pages exist from their first touch.
  world.arena.bytes(0, 8).fill(1);
  mapArena(world, IOVA);
  same([pinned(1), pinned(2)], [0, -EIO], 'after one map: pinned once, pinned twice');
  mapArena(world, 2 * IOVA);
  same(pinned(2), 0, 'after two maps');
  world.ioas.copyFrom({ ioas: world.ioas, iova: IOVA, lengthBytes: BYTES }, { iova: 3 * IOVA });
  same(pinned(2), 0, 'a copy shares the pin');
  world.ioas.unmap(IOVA, BYTES);
  same(pinned(2), 0, 'the copy holds it after the unmap of the original');
  world.ioas.unmapAll();
  same(pinned(0), 0, 'after the last unmap');
}

function dirtyPages(world: NativeWorld, kernel: Platform['kernel']): void {
  const { sys, iommufd, ioas } = world;
  // An entry is dirty as a whole; how large one is would depend on the contiguity of the memory.
  ioas.hugePages = false;
  mapArena(world, IOVA);
  const hwpt = ioas.allocHwpt({ id: world.mock.deviceId }, { dirtyTracking: true });
  hwpt.dirty.enable();
  const bitmap = memoryOf(sys, PAGE);
  bitmap.bytes[0] = 0b101;
  const { result, out } = invoke(sys, iommufd.fd, mock.TEST_DIRTY, {
    op: mock.IOMMU_TEST_OP_DIRTY,
    id: hwpt.id,
    iova: IOVA,
    length: BYTES,
    page_size: mock.MOCK_IO_PAGE_SIZE,
    uptr: bitmap.address,
  });
  same([result, Number(out.out_nr_dirty)], [0, 2], 'pages marked dirty');
  // The mock's page table of 7.3 has entries of a CPU page, that of 6.12 of half a one.
  const halves = kernel === '6.12' ? [0, 2] : [0, 1, 2, 3];
  same(hwpt.dirty.read(IOVA, BYTES, 2048, true), halves, 'dirty half pages, kept');
  same(hwpt.dirty.read(IOVA, BYTES, PAGE), [0, 1], 'dirty pages');
  same(hwpt.dirty.read(IOVA, BYTES, 2048), [], 'dirty half pages after the read');
  hwpt.dirty.enable(false);
  bitmap.unmap();
}

function noFaultQueue({ iommufd, ioas, mock: ids }: NativeWorld): void {
  const queue = iommufd.allocFaultQueue();
  let code = '';
  try {
    ioas.allocHwpt({ id: ids.deviceId }, { faultQueue: queue });
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    code = error.code;
  }
  same(code, 'EOPNOTSUPP', 'error of the allocation');
}

function pageRequests(world: NativeWorld): void {
  const { sys, iommufd, ioas } = world;
  const queue = iommufd.allocFaultQueue();
  const hwpt = ioas.allocHwpt({ id: world.mock.deviceId }, { faultQueue: queue });
  same(replace(world, hwpt.id), hwpt.id, 'page table after the replace');
  for (const addr of [0x1000n, 0x2000n]) {
    invoke(sys, iommufd.fd, mock.TEST_TRIGGER_IOPF, {
      op: mock.IOMMU_TEST_OP_TRIGGER_IOPF,
      dev_id: world.mock.deviceId,
      pasid: 0,
      grpid: 7,
      perm: 1,
      addr,
    });
  }
  same(sys.poll(queue.fd, 1000), 1, 'the queue is readable');
  const requests = queue.read();
  same(
    requests.map(({ addr, grpid, dev_id }) => [Number(addr), grpid, dev_id]),
    [
      [0x1000, 7, world.mock.deviceId],
      [0x2000, 7, world.mock.deviceId],
    ],
    'requests',
  );
  for (const { cookie } of requests) queue.respond(cookie, true);
  same(queue.read(), [], 'requests after the answers');
  replace(world, ioas.id);
}

function replace({ sys, iommufd, mock: ids }: NativeWorld, ptId: number): number {
  const { result, out } = invoke(sys, iommufd.fd, mock.TEST_MOCK_DOMAIN_REPLACE, {
    op: mock.IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
    id: ids.stdevId,
    pt_id: ptId,
  });
  return result < 0 ? result : out.pt_id;
}

function accessPins(world: NativeWorld): void {
  const { sys, iommufd, arena } = world;
  const ioas = iommufd.allocIoas();
  ioas.map({ memory: arena.memory, offsetBytes: arena.offsetOf(0), lengthBytes: BYTES, iova: IOVA });
  const { out } = invoke(sys, iommufd.fd, mock.TEST_CREATE_ACCESS, {
    op: mock.IOMMU_TEST_OP_CREATE_ACCESS,
    id: ioas.id,
    flags: mock.MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES,
  });
  same(ioas.ranges().alignmentBytes, PAGE, 'alignment that the access asks for');
  const pin = (iova: number, length: number): number =>
    invoke(sys, iommufd.fd, mock.TEST_ACCESS_PAGES, {
      op: mock.IOMMU_TEST_OP_ACCESS_PAGES,
      id: out.out_access_fd,
      iova,
      length,
    }).result;
  same(
    [pin(IOVA, 4 * PAGE), pin(IOVA + 2 * PAGE, PAGE), pin(IOVA + 64 * PAGE, PAGE)],
    [0, 0, -ENOENT],
    'pins of a range, of a page of it, of nothing',
  );
  const dropped = invoke(sys, iommufd.fd, mock.TEST_DESTROY_ACCESS_PAGES, {
    op: mock.IOMMU_TEST_OP_DESTROY_ACCESS_PAGES,
    id: out.out_access_fd,
    access_pages_id: 1,
  });
  same(dropped.result, 0, 'unpin of the second');
  // The other one is asked to let go.
  same(ioas.unmap(IOVA, BYTES), BYTES, 'bytes unmapped under the access');
  sys.close(out.out_access_fd);
  same(ioas.ranges().alignmentBytes, 1, 'alignment without the access');
}
