import { ATTACHED, BASE, P } from './rows-common.ts';
import type { Row } from './row.ts';

type OneStep = Row['program'][number];
const map = (ioas: number, at: number, pages: number, iova: number): OneStep => ({
  op: 'map',
  ioas,
  at: at * P,
  length: pages * P,
  iova,
});
const PCI = ['vtd', 'amd'] as const;

/** Ranges, copies, attach and replace, lifetime of pins, page tables, options. */
export const ATTACH_ROWS: readonly Row[] = [
  {
    name: 'before an attach every address is free with alignment 1',
    program: [{ op: 'ioas' }, { op: 'ranges', ioas: 0 }],
    lines: ['ranges: 0 alignment=1 0..ffffffffffffffff'],
  },
  {
    name: 'after an attach the ranges are those of the IOMMU',
    program: [...ATTACHED, { op: 'ranges', ioas: 0 }],
    lines: ['ranges: 0 alignment=4096 0..fedfffff fef00000..ffffffffffff'],
    differs: [
      {
        on: { driver: 'amd', kernel: '7.3' },
        reason: 'HyperTransport is reserved too',
        lines: ['ranges: 0 alignment=4096 0..fedfffff fef00000..fcffffffff 10000000000..ffffffffffff'],
      },
      {
        on: { driver: 'amd' },
        reason: 'HyperTransport is reserved too, and the v1 page table reaches 64 bits',
        lines: ['ranges: 0 alignment=4096 0..fedfffff fef00000..fcffffffff 10000000000..ffffffffffffffff'],
      },
      {
        on: { driver: 'mock' },
        reason: 'half-sized pages in 31 bits, nothing reserved',
        lines: ['ranges: 0 alignment=2048 1000000..7fffffff'],
      },
    ],
  },
  {
    name: 'the ranges widen again after the detach',
    program: [...ATTACHED, { op: 'detach' }, { op: 'ranges', ioas: 0 }],
    lines: ['ranges: 0 alignment=1 0..ffffffffffffffff'],
  },
  {
    name: 'too small an array is EMSGSIZE with the number that is needed',
    program: [...ATTACHED, { op: 'ranges', ioas: 0, room: 0 }],
    lines: ['ranges: EMSGSIZE num_iovas=2'],
    differs: [
      { on: { driver: 'amd' }, reason: 'three ranges', lines: ['ranges: EMSGSIZE num_iovas=3'] },
      { on: { driver: 'mock' }, reason: 'one range', lines: ['ranges: EMSGSIZE num_iovas=1'] },
    ],
  },
  {
    name: 'a copy makes the mapping visible in another address space',
    program: [
      ...ATTACHED,
      { op: 'ioas' },
      map(0, 0, 4, BASE),
      { op: 'copy', from: 0, iova: BASE, length: 4 * P, to: 1, toIova: 0x1700000 },
    ],
    lines: ['copy: 0 dst_iova=0x1700000'],
  },
  {
    name: 'a copy of a part succeeds, beyond the area it is ENOENT',
    program: [
      ...ATTACHED,
      { op: 'ioas' },
      map(0, 0, 4, BASE),
      { op: 'copy', from: 0, iova: BASE + P, length: P, to: 1, toIova: 0x1900000 },
      { op: 'copy', from: 0, iova: BASE, length: 8 * P, to: 1, toIova: 0x1a00000 },
    ],
    lines: ['copy: 0 dst_iova=0x1900000', 'copy: ENOENT'],
  },
  {
    name: 'a copy of two areas that touch gives two areas that are unmapped together',
    program: [
      ...ATTACHED,
      { op: 'ioas' },
      map(0, 0, 1, BASE),
      map(0, 5, 1, BASE + P),
      { op: 'copy', from: 0, iova: BASE, length: 2 * P, to: 1, toIova: 0x1900000 },
      { op: 'unmap', ioas: 1, iova: 0x1900000, length: P },
      { op: 'unmap', ioas: 1, iova: 0x1900000, length: 2 * P },
    ],
    lines: ['copy: 0 dst_iova=0x1900000', 'unmap: 0 length=0x1000', 'unmap: 0 length=0x1000'],
  },
  {
    name: 'a copy for writing of what was mapped for reading is EPERM',
    program: [
      ...ATTACHED,
      { op: 'map', ioas: 0, at: 0, length: P, iova: BASE, access: 'r' },
      { op: 'copy', from: 0, iova: BASE, length: P, to: 0, toIova: 0x1900000 },
      { op: 'copy', from: 0, iova: BASE, length: P, to: 0, toIova: 0x1900000, access: 'r' },
    ],
    lines: ['copy: EPERM', 'copy: 0 dst_iova=0x1900000'],
  },
  {
    name: 'a copy onto something is EEXIST, of nothing EINVAL, without rights EINVAL',
    program: [
      ...ATTACHED,
      map(0, 0, 1, BASE),
      { op: 'copy', from: 0, iova: BASE, length: P, to: 0, toIova: BASE },
      { op: 'copy', from: 0, iova: BASE, length: 0, to: 0, toIova: 0x1900000 },
      { op: 'copy', from: 0, iova: BASE, length: P, to: 99, toIova: 0x1900000 },
      { op: 'copy', from: 99, iova: BASE, length: P, to: 0, toIova: 0x1900000 },
    ],
    lines: ['copy: EEXIST', 'copy: EINVAL', 'copy: ENOENT', 'copy: ENOENT'],
  },
  {
    name: 'an attach to a second address space replaces the first',
    program: [...ATTACHED, { op: 'ioas' }, { op: 'attach', ioas: 1 }],
    lines: ['attach: 0 hwpt=5'],
    differs: [
      {
        on: { driver: 'mock' },
        reason: 'the mock device is an object of its own',
        lines: ['attach: 0 hwpt=6'],
      },
    ],
  },
  {
    name: 'an attach to the same address space changes nothing',
    program: [...ATTACHED, { op: 'attach', ioas: 0 }],
    lines: ['attach: 0 hwpt=3'],
    differs: [
      {
        on: { driver: 'mock' },
        reason: 'the mock device is an object of its own',
        lines: ['attach: 0 hwpt=4'],
      },
    ],
  },
  {
    name: 'an attach to nothing is ENOENT and keeps the old one',
    program: [...ATTACHED, { op: 'attach', ioas: 99 }, { op: 'destroy', ioas: 0 }],
    lines: ['attach: ENOENT', 'destroy: EBUSY'],
  },
  {
    name: 'an address space in use is EBUSY to destroy, after the detach it goes',
    program: [...ATTACHED, { op: 'destroy', ioas: 0 }, { op: 'detach' }, { op: 'destroy', ioas: 0 }],
    lines: ['destroy: EBUSY', 'detach: 0', 'destroy: 0'],
  },
  {
    name: 'an address space goes with its mappings, and destroying it again is ENOENT',
    program: [{ op: 'ioas' }, map(0, 0, 4, BASE), { op: 'destroy', ioas: 0 }, { op: 'destroy', ioas: 0 }],
    lines: ['destroy: 0', 'destroy: ENOENT'],
  },
  {
    name: 'pins live while a domain holds them: a second page table is fine, a new attach is EFAULT',
    program: [
      ...ATTACHED,
      { op: 'region', length: P },
      { op: 'map', ioas: 0, region: 1, at: 0, length: P, iova: BASE },
      { op: 'munmap', region: 1 },
      { op: 'hwpt', ioas: 0 },
      { op: 'destroy', hwpt: 0 },
      { op: 'detach' },
      { op: 'attach', ioas: 0 },
      { op: 'unmap', ioas: 0, iova: BASE, length: P },
      { op: 'attach', ioas: 0 },
    ],
    lines: [
      'hwpt: 0 id=4',
      'destroy: 0',
      'detach: 0',
      'attach: EFAULT',
      'unmap: 0 length=0x1000',
      'attach: 0 hwpt=3',
    ],
    only: PCI,
  },
  {
    name: 'dirty tracking and nesting need hardware that can',
    program: [...ATTACHED, { op: 'hwpt', ioas: 0, dirty: true }, { op: 'hwpt', ioas: 0, nestParent: true }],
    lines: ['hwpt: EOPNOTSUPP', 'hwpt: EOPNOTSUPP'],
    differs: [
      {
        on: { driver: 'mock' },
        reason: 'the mock device implements both',
        lines: ['hwpt: 0 id=5', 'hwpt: 0 id=6'],
      },
    ],
  },
  {
    name: 'an explicit page table can be attached, is EBUSY meanwhile, and survives the detach',
    program: [
      ...ATTACHED,
      { op: 'hwpt', ioas: 0 },
      { op: 'attach', hwpt: 0 },
      { op: 'destroy', hwpt: 0 },
      { op: 'detach' },
      { op: 'destroy', hwpt: 0 },
    ],
    lines: ['attach: 0 hwpt=4', 'destroy: EBUSY', 'detach: 0', 'destroy: 0'],
    only: PCI,
  },
  {
    name: 'a page table of an unknown device is ENOENT, over an unknown address space EINVAL',
    program: [
      ...ATTACHED,
      { op: 'hwpt', ioas: 99 },
      { op: 'raw', call: 'IOMMU_HWPT_ALLOC', fields: { dev_id: 99, pt_id: 1 } },
    ],
    lines: ['hwpt: EINVAL', 'raw: ENOENT'],
  },
  {
    name: 'huge pages are on, can be switched off, and not while mappings are in a page table',
    program: [
      { op: 'ioas' },
      { op: 'hugePages', ioas: 0 },
      { op: 'hugePages', ioas: 0, on: false },
      { op: 'hugePages', ioas: 0 },
      { op: 'hugePages', ioas: 0, on: true },
      { op: 'attach', ioas: 0 },
      { op: 'hugePages', ioas: 0, on: false },
    ],
    lines: [
      'hugePages: 0 val64=0x1',
      'hugePages: 0',
      'hugePages: 0 val64=0x0',
      'hugePages: 0',
      'attach: 0 hwpt=3',
      'hugePages: EINVAL',
    ],
    only: PCI,
  },
  {
    name: 'RLIMIT_MODE cannot change once an object exists',
    program: [{ op: 'ioas' }, { op: 'rlimitMode', on: true }],
    lines: ['rlimitMode: EBUSY'],
  },
  {
    name: 'GET_HW_INFO names the IOMMU, its capabilities and its registers; what is longer than they is cleared',
    program: [...ATTACHED, { op: 'hwInfo' }],
    lines: [
      'hwInfo: 0 out_data_type=0x1 data_len=0x18 out_max_pasid_log2=0x0 out_capabilities=0x8 010000000000000006062f228c00d2004e0ff00000000000a5a5a5a5a5a5a5a5',
    ],
    differs: [
      {
        on: { driver: 'vtd', kernel: '6.12' },
        reason: 'whether the device has ATS is told since 7.0',
        lines: [
          'hwInfo: 0 out_data_type=0x1 data_len=0x18 out_max_pasid_log2=0x0 out_capabilities=0x0 010000000000000006062f228c00d2004e0ff00000000000a5a5a5a5a5a5a5a5',
        ],
      },
      {
        on: { driver: 'amd', kernel: '6.12' },
        reason: 'the driver reports nothing about this IOMMU, and ATS as above',
        lines: [
          'hwInfo: 0 out_data_type=0x0 data_len=0x0 out_max_pasid_log2=0x0 out_capabilities=0x0 000000000000000000000000000000000000000000000000a5a5a5a5a5a5a5a5',
        ],
      },
      {
        on: { driver: 'amd' },
        reason: 'the driver reports nothing about this IOMMU',
        lines: [
          'hwInfo: 0 out_data_type=0x0 data_len=0x0 out_max_pasid_log2=0x0 out_capabilities=0x8 000000000000000000000000000000000000000000000000a5a5a5a5a5a5a5a5',
        ],
      },
      {
        on: { driver: 'mock', kernel: '6.12' },
        reason: "the selftest's type and register; it tracks dirty pages; ATS as above",
        lines: [
          'hwInfo: 0 out_data_type=0xfeedbeef data_len=0x8 out_max_pasid_log2=0x0 out_capabilities=0x1 00000000efbeadde00000000000000000000000000000000a5a5a5a5a5a5a5a5',
        ],
      },
      {
        on: { driver: 'mock' },
        reason: "the selftest's type and register; it tracks dirty pages",
        lines: [
          'hwInfo: 0 out_data_type=0xfeedbeef data_len=0x8 out_max_pasid_log2=0x0 out_capabilities=0x9 00000000efbeadde00000000000000000000000000000000a5a5a5a5a5a5a5a5',
        ],
      },
    ],
  },
  {
    name: 'a fault queue can be made, although nothing here sends page requests',
    program: [...ATTACHED, { op: 'faultQueue' }],
    lines: ['faultQueue: 0 id=4'],
    only: PCI,
  },
];
