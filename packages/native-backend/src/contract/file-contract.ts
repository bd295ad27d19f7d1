import { type ContractCheck, same } from '@gpusvm/dma-iova/contract';
import { resultName } from '../errno.ts';
import { invoke } from '../invoke.ts';
import { memoryOf } from '../program/rig.ts';
import type { Sys } from '../sys.ts';
import { IOMMU_VFIO_IOAS } from '../uapi/iommufd-file.ts';
import * as mock from '../uapi/iommufd-test.ts';
import { codeOf, inMockWorld } from './mock-world.ts';
import type { NativeWorld } from './native-world.ts';
import type { Platform } from './row.ts';

const PAGE = 4096;
const IOVA = 0x2000000;

/** Mappings of files in memory, and what the container calls of VFIO mean; on the selftest's mock device. */
export function fileContract(makeSys: () => Sys, kernel: Platform['kernel']): readonly ContractCheck[] {
  const check = inMockWorld(makeSys);
  const container = check('the container calls of VFIO mean the address space that was set', containerIoas);
  if (kernel === '6.12') return [container];
  return [
    container,
    check('a mapping of a file leads to its pages, also without the descriptor', mapsFile),
    check('a range beyond the file, no file, a file that is not in memory', refusals),
    check('the process can change while only files are mapped', changesProcess),
  ];
}

function containerIoas({ sys, iommufd, ioas }: NativeWorld): void {
  const call = (values: object): string => {
    const { result, out } = invoke(sys, iommufd.fd, IOMMU_VFIO_IOAS, values);
    return result < 0 ? resultName(result) : `${out.ioas_id}`;
  };
  const got = [
    call({ op: 0 }),
    call({ op: 1, ioas_id: 0xffff }),
    call({ op: 1, ioas_id: ioas.id }),
    call({ op: 0 }),
    call({ op: 2 }),
    call({ op: 0 }),
    call({ op: 3 }),
    call({ op: 0, __reserved: 1 }),
  ];
  const id = String(ioas.id);
  same(got, ['ENODEV', 'ENOENT', id, id, '0', 'ENODEV', 'EOPNOTSUPP', 'EOPNOTSUPP'], 'results');
}

function fileOf(sys: Sys, pages: number): number {
  const fd = sys.memfd(pages * PAGE);
  if (fd < 0) throw new Error(`memfd: ${resultName(fd)}`);
  return fd;
}

function mapsFile({ sys, iommufd, ioas, mock: ids }: NativeWorld): void {
  const fd = fileOf(sys, 8);
  const memory = sys.mmap({ lengthBytes: 8 * PAGE, fd });
  if (typeof memory === 'number') throw new Error(`mmap: ${resultName(memory)}`);
  memory.bytes.fill(7);
  same(ioas.mapFile({ fd, startBytes: 2 * PAGE, lengthBytes: 4 * PAGE, iova: IOVA }), IOVA, 'address');
  const leadsTo = (page: number): string => {
    const values = {
      op: mock.IOMMU_TEST_OP_MD_CHECK_MAP,
      id: ids.hwptId,
      iova: IOVA,
      length: 4 * PAGE,
      uptr: memory.address + BigInt(page * PAGE),
    };
    return resultName(invoke(sys, iommufd.fd, mock.TEST_CHECK_MAP, values).result);
  };
  sys.close(fd);
  same([leadsTo(2), leadsTo(1)], ['0', 'EINVAL'], 'page 2 of the file, page 1 of the file');
  same(resultName(ioas.tryUnmap(IOVA, PAGE)), 'ENOENT', 'unmap of a part');
  same(ioas.unmap(IOVA, 4 * PAGE), 4 * PAGE, 'bytes unmapped');
  memory.unmap();
}

function refusals({ sys, ioas }: NativeWorld): void {
  const fd = fileOf(sys, 4);
  const event = sys.eventfd();
  const map = (changes: object): string =>
    codeOf(() => ioas.mapFile({ fd, lengthBytes: PAGE, iova: IOVA, ...changes }));
  const got = [
    map({ startBytes: 4 * PAGE }),
    map({ lengthBytes: 5 * PAGE }),
    map({ lengthBytes: 0 }),
    map({ startBytes: 2n ** 64n - 1n, lengthBytes: PAGE }),
    map({ fd: 12345 }),
    map({ fd: event }),
    map({}),
    map({}),
  ];
  same(
    got,
    ['EINVAL', 'EINVAL', 'EINVAL', 'EOVERFLOW', 'EBADF', 'EINVAL', '0', 'EEXIST'],
    'beyond the end, across it, length 0, wrap, no descriptor, an eventfd, good, the same again',
  );
  ioas.unmap(IOVA, PAGE);
  sys.close(event);
  sys.close(fd);
}

function changesProcess({ sys, iommufd, ioas }: NativeWorld): void {
  const fd = fileOf(sys, 4);
  ioas.mapFile({ fd, lengthBytes: PAGE, iova: IOVA });
  same(
    codeOf(() => iommufd.changeProcess()),
    '0',
    'with a file mapped',
  );
  const memory = memoryOf(sys, PAGE);
  ioas.map({ memory, iova: 2 * IOVA });
  same(
    codeOf(() => iommufd.changeProcess()),
    'EINVAL',
    'with other memory mapped',
  );
  same(ioas.unmapAll(), 2 * PAGE, 'bytes unmapped');
  memory.unmap();
  sys.close(fd);
}
