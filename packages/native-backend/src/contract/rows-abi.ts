import type { Row } from './row.ts';

/** Sizes, tails and numbers: how an old program meets a new kernel and the other way round. */
export const ABI_ROWS: readonly Row[] = [
  {
    name: 'too short a structure is EINVAL',
    program: [{ op: 'raw', call: 'IOMMU_IOAS_MAP', size: 8 }],
    lines: ['raw: EINVAL'],
  },
  {
    name: 'a longer structure with a zero tail is fine',
    program: [{ op: 'raw', call: 'IOMMU_IOAS_ALLOC', tail: { bytes: 8, value: 0 } }],
    lines: ['raw: 0'],
  },
  {
    name: 'a longer structure with a tail that is not zero is E2BIG',
    program: [{ op: 'raw', call: 'IOMMU_IOAS_ALLOC', tail: { bytes: 8, value: 1 } }],
    lines: ['raw: E2BIG'],
  },
  {
    name: 'an unknown request is ENOTTY',
    program: [{ op: 'raw', call: '0x3bf0' }],
    lines: ['raw: ENOTTY'],
  },
  {
    name: 'flags of IOAS_ALLOC are EOPNOTSUPP, and so are reserved fields',
    program: [
      { op: 'raw', call: 'IOMMU_IOAS_ALLOC', fields: { flags: 1 } },
      { op: 'raw', call: 'IOMMU_IOAS_IOVA_RANGES', fields: { __reserved: 1 } },
      { op: 'raw', call: 'IOMMU_IOAS_MAP', fields: { __reserved: 1 } },
      { op: 'raw', call: 'IOMMU_OPTION', fields: { __reserved: 1 } },
    ],
    lines: ['raw: EOPNOTSUPP', 'raw: EOPNOTSUPP', 'raw: EOPNOTSUPP', 'raw: EOPNOTSUPP'],
  },
  {
    name: 'an unknown option is EOPNOTSUPP, an odd value EINVAL, an unknown object ENOENT',
    program: [
      { op: 'ioas' },
      { op: 'ioas' },
      { op: 'raw', call: 'IOMMU_OPTION', fields: { option_id: 9 } },
      { op: 'raw', call: 'IOMMU_OPTION', fields: { option_id: 1, object_id: 2, val64: 2 } },
      { op: 'raw', call: 'IOMMU_OPTION', fields: { option_id: 1, object_id: 99 } },
      { op: 'raw', call: 'IOMMU_OPTION', fields: { option_id: 1, object_id: 2, op: 7 } },
      { op: 'raw', call: 'IOMMU_OPTION', fields: { option_id: 0, object_id: 2 } },
    ],
    lines: ['raw: EOPNOTSUPP', 'raw: EINVAL', 'raw: ENOENT', 'raw: EOPNOTSUPP', 'raw: EOPNOTSUPP'],
  },
  {
    name: 'destroying what is not there is ENOENT',
    program: [{ op: 'raw', call: 'IOMMU_DESTROY', fields: { id: 99 } }],
    lines: ['raw: ENOENT'],
  },
  {
    name: 'ids are the lowest free number',
    program: [{ op: 'ioas' }, { op: 'ioas' }, { op: 'destroy', ioas: 0 }, { op: 'ioas' }],
    lines: ['ioas: 0 id=2', 'ioas: 0 id=3', 'destroy: 0', 'ioas: 0 id=2'],
    differs: [
      {
        on: { driver: 'mock' },
        reason: 'no device is bound, so the first id is free',
        lines: ['ioas: 0 id=1', 'ioas: 0 id=2', 'destroy: 0', 'ioas: 0 id=1'],
      },
    ],
  },
  {
    name: 'iommufd answers none of the calls of a device',
    program: [{ op: 'raw', call: 'VFIO_DEVICE_GET_INFO' }],
    lines: ['raw: ENOTTY'],
  },
];
