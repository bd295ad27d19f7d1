import { ATTACHED, BASE, P } from './rows-common.ts';
import type { Row } from './row.ts';

const map = (at: number, pages: number, iova: number): Row['program'][number] => ({
  op: 'map',
  ioas: 0,
  at: at * P,
  length: pages * P,
  iova,
});

/** IOMMU_IOAS_MAP: placement and every way to be refused. */
export const MAP_ROWS: readonly Row[] = [
  {
    name: 'a map at a fixed address succeeds and returns it',
    program: [...ATTACHED, map(0, 4, BASE)],
    lines: ['map: 0 iova=0x1100000'],
  },
  {
    name: 'a map over the same range is EEXIST',
    program: [...ATTACHED, map(0, 4, BASE), map(0, 4, BASE)],
    lines: ['map: EEXIST'],
  },
  {
    name: 'a map over the last page of another is EEXIST',
    program: [...ATTACHED, map(0, 4, BASE), map(0, 4, BASE + 3 * P)],
    lines: ['map: EEXIST'],
  },
  {
    name: 'an unaligned IOVA is EINVAL',
    program: [...ATTACHED, map(0, 1, BASE + 0x100)],
    lines: ['map: EINVAL'],
  },
  {
    name: 'unaligned memory is EINVAL',
    program: [...ATTACHED, { op: 'map', ioas: 0, at: 0x100, length: P, iova: BASE }],
    lines: ['map: EINVAL'],
  },
  {
    name: 'an unaligned length is EINVAL',
    program: [...ATTACHED, { op: 'map', ioas: 0, at: 0, length: P + 1, iova: BASE }],
    lines: ['map: EINVAL'],
  },
  {
    name: 'half a page is EINVAL',
    program: [...ATTACHED, { op: 'map', ioas: 0, at: 0, length: P / 2, iova: BASE }],
    lines: ['map: EINVAL'],
    differs: [
      {
        on: { driver: 'mock' },
        reason: 'the page of the mock device is half a CPU page',
        lines: ['map: 0 iova=0x1100000'],
      },
    ],
  },
  {
    name: 'length 0 is EINVAL',
    program: [...ATTACHED, { op: 'map', ioas: 0, at: 0, length: 0, iova: BASE }],
    lines: ['map: EINVAL'],
  },
  {
    name: 'the MSI window is EINVAL',
    program: [...ATTACHED, map(0, 1, 0xfee00000)],
    lines: ['map: EINVAL'],
  },
  {
    name: 'IOVA 2^50 is beyond the aperture: EINVAL',
    program: [...ATTACHED, map(0, 1, 2 ** 50)],
    lines: ['map: EINVAL'],
    differs: [
      {
        on: { driver: 'amd', kernel: '6.12' },
        reason: 'the AMD v1 page table grows to 64 bits',
        lines: ['map: 0 iova=0x4000000000000'],
      },
    ],
  },
  {
    name: 'a range that wraps around 2^64 is EOVERFLOW',
    program: [...ATTACHED, { op: 'map', ioas: 0, at: 0, length: 2 * P, iova: '0xfffffffffffff000' }],
    lines: ['map: EOVERFLOW'],
  },
  {
    name: 'IOVA 2^64-1 and length 2^64-1 are EOVERFLOW before anything else is looked at',
    program: [
      ...ATTACHED,
      { op: 'map', ioas: 99, at: 0, length: P, iova: '0xffffffffffffffff', access: 'none' },
      { op: 'map', ioas: 99, at: 0, length: '0xffffffffffffffff', iova: 0, access: 'none' },
    ],
    lines: ['map: EOVERFLOW', 'map: EOVERFLOW'],
  },
  {
    name: 'neither readable nor writable is EINVAL, also for an unknown address space',
    program: [
      ...ATTACHED,
      { op: 'map', ioas: 0, at: 0, length: P, iova: BASE, access: 'none' },
      { op: 'map', ioas: 99, at: 0, length: P, iova: BASE, access: 'none' },
    ],
    lines: ['map: EINVAL', 'map: EINVAL'],
  },
  {
    name: 'an unknown flag is EOPNOTSUPP',
    program: [...ATTACHED, { op: 'map', ioas: 0, at: 0, length: P, iova: BASE, extraFlags: 512 }],
    lines: ['map: EOPNOTSUPP'],
  },
  {
    name: 'an unknown address space is ENOENT',
    program: [...ATTACHED, { op: 'map', ioas: 99, at: 0, length: P, iova: BASE }],
    lines: ['map: ENOENT'],
  },
  {
    name: 'memory that is not there is EFAULT',
    program: [...ATTACHED, { op: 'map', ioas: 0, region: -1, at: 0, length: P, iova: BASE }],
    lines: ['map: EFAULT'],
  },
  {
    name: 'PROT_NONE memory is EFAULT, and nothing stays mapped',
    program: [
      ...ATTACHED,
      { op: 'region', length: P, access: 'none' },
      { op: 'map', ioas: 0, region: 1, at: 0, length: P, iova: BASE },
      map(0, 1, BASE),
    ],
    lines: ['map: EFAULT', 'map: 0 iova=0x1100000'],
  },
  {
    name: 'PROT_READ memory mapped writable is EFAULT, mapped readable succeeds',
    program: [
      ...ATTACHED,
      { op: 'region', length: P, access: 'r' },
      { op: 'map', ioas: 0, region: 1, at: 0, length: P, iova: BASE },
      { op: 'map', ioas: 0, region: 1, at: 0, length: P, iova: BASE, access: 'r' },
    ],
    lines: ['map: EFAULT', 'map: 0 iova=0x1100000'],
  },
  {
    name: 'without a device a mapping may be longer than any memory',
    program: [
      { op: 'ioas' },
      { op: 'map', ioas: 0, region: -1, at: 0, length: '0x7ffffffffffff000', iova: '0x1000000000000' },
      { op: 'unmap', ioas: 0, iova: '0x1000000000000', length: '0x7ffffffffffff000' },
    ],
    lines: ['map: 0 iova=0x1000000000000', 'unmap: 0 length=0x7ffffffffffff000'],
  },
  {
    name: 'without a device memory is not looked at: the attach finds the bad mapping',
    program: [
      { op: 'ioas' },
      { op: 'map', ioas: 0, region: -1, at: 0, length: P, iova: BASE },
      { op: 'attach', ioas: 0 },
      { op: 'unmap', ioas: 0, iova: BASE, length: P },
      { op: 'attach', ioas: 0 },
    ],
    lines: ['map: 0 iova=0x1100000', 'attach: EFAULT', 'unmap: 0 length=0x1000', 'attach: 0 hwpt=3'],
    differs: [
      {
        on: { driver: 'mock' },
        reason: 'the mock device gets its own object with every attach',
        lines: ['map: 0 iova=0x1100000', 'attach: EFAULT', 'unmap: 0 length=0x1000', 'attach: 0 hwpt=4'],
      },
    ],
  },
  {
    name: 'without a device nothing has to be aligned',
    program: [
      { op: 'ioas' },
      { op: 'map', ioas: 0, at: 0x123, length: 0x456, iova: BASE + 1 },
      { op: 'unmap', ioas: 0, iova: BASE + 1, length: 0x456 },
    ],
    lines: ['map: 0 iova=0x1100001', 'unmap: 0 length=0x456'],
  },
  {
    name: 'a mapping that is not aligned to the IOMMU page keeps a device out: EADDRINUSE',
    program: [
      { op: 'ioas' },
      { op: 'map', ioas: 0, at: 0, length: 0x456, iova: BASE },
      { op: 'attach', ioas: 0 },
    ],
    lines: ['attach: EADDRINUSE'],
  },
  {
    name: 'a mapping in the MSI window keeps a device out: EADDRINUSE',
    program: [{ op: 'ioas' }, map(0, 1, 0xfee00000), { op: 'attach', ioas: 0 }],
    lines: ['map: 0 iova=0xfee00000', 'attach: EADDRINUSE'],
  },
];
