/*
 * drivers/iommu/iommufd/iommufd_test.h as data: the mock device of CONFIG_IOMMUFD_TEST, which can do what emulated
 * IOMMUs cannot (dirty tracking, page faults) and checks what it was told.
 */

export const IOMMU_TEST_OP_MOCK_DOMAIN: 2 = 2;
export const IOMMU_TEST_OP_MD_CHECK_MAP: 3 = 3;
export const IOMMU_TEST_OP_MD_CHECK_REFS: 4 = 4;
export const IOMMU_TEST_OP_CREATE_ACCESS: 5 = 5;
export const IOMMU_TEST_OP_DESTROY_ACCESS_PAGES: 6 = 6;
export const IOMMU_TEST_OP_ACCESS_PAGES: 7 = 7;
export const IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE: 10 = 10;
export const IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS: 12 = 12;
export const IOMMU_TEST_OP_DIRTY: 13 = 13;
export const IOMMU_TEST_OP_MD_CHECK_IOTLB: 14 = 14;
export const IOMMU_TEST_OP_TRIGGER_IOPF: 15 = 15;

export const MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES: 1 = 1;

/** First and last IOVA of the mock device; its page is half a CPU page. */
export const MOCK_APERTURE_START: 0x1000000 = 0x1000000;
export const MOCK_APERTURE_LAST: 0x7fffffff = 0x7fffffff;
export const MOCK_IO_PAGE_SIZE: 2048 = 2048;

/* `struct iommu_test_cmd` with the union as plain words; what they mean depends on the operation. */

export const TEST_MOCK_DOMAIN = {
  name: 'IOMMU_TEST_CMD',
  request: 0x3ba0,
  struct: 'iommu_test_cmd',
  last: 'last',
  fields: [
    ['size', 'u32'],
    ['op', 'u32'],
    ['id', 'u32'],
    ['__reserved', 'u32'],
    ['out_stdev_id', 'u32'],
    ['out_hwpt_id', 'u32'],
    ['out_idev_id', 'u32'],
    ['pad0', 'u32'],
    ['pad1', 'u64'],
    ['pad2', 'u64'],
    ['pad3', 'u64'],
    ['pad4', 'u64'],
    ['last', 'u32'],
  ],
} as const;

export const TEST_MOCK_DOMAIN_REPLACE = {
  name: 'IOMMU_TEST_CMD',
  request: 0x3ba0,
  struct: 'iommu_test_cmd',
  last: 'last',
  fields: [
    ['size', 'u32'],
    ['op', 'u32'],
    ['id', 'u32'],
    ['__reserved', 'u32'],
    ['pt_id', 'u32'],
    ['pad0', 'u32'],
    ['pad1', 'u64'],
    ['pad2', 'u64'],
    ['pad3', 'u64'],
    ['pad4', 'u64'],
    ['pad5', 'u64'],
    ['last', 'u32'],
  ],
} as const;

export const TEST_CHECK_MAP = {
  name: 'IOMMU_TEST_CMD',
  request: 0x3ba0,
  struct: 'iommu_test_cmd',
  last: 'last',
  fields: [
    ['size', 'u32'],
    ['op', 'u32'],
    ['id', 'u32'],
    ['__reserved', 'u32'],
    ['iova', 'u64'],
    ['length', 'u64'],
    ['uptr', 'u64'],
    ['pad0', 'u64'],
    ['pad1', 'u64'],
    ['pad2', 'u64'],
    ['last', 'u32'],
  ],
} as const;

export const TEST_CHECK_REFS = {
  name: 'IOMMU_TEST_CMD',
  request: 0x3ba0,
  struct: 'iommu_test_cmd',
  last: 'last',
  fields: [
    ['size', 'u32'],
    ['op', 'u32'],
    ['id', 'u32'],
    ['__reserved', 'u32'],
    ['length', 'u64'],
    ['uptr', 'u64'],
    ['refs', 'u32'],
    ['pad0', 'u32'],
    ['pad1', 'u64'],
    ['pad2', 'u64'],
    ['pad3', 'u64'],
    ['last', 'u32'],
  ],
} as const;

export const TEST_CREATE_ACCESS = {
  name: 'IOMMU_TEST_CMD',
  request: 0x3ba0,
  struct: 'iommu_test_cmd',
  last: 'last',
  fields: [
    ['size', 'u32'],
    ['op', 'u32'],
    ['id', 'u32'],
    ['__reserved', 'u32'],
    ['out_access_fd', 'u32'],
    ['flags', 'u32'],
    ['pad0', 'u64'],
    ['pad1', 'u64'],
    ['pad2', 'u64'],
    ['pad3', 'u64'],
    ['pad4', 'u64'],
    ['last', 'u32'],
  ],
} as const;

export const TEST_ACCESS_PAGES = {
  name: 'IOMMU_TEST_CMD',
  request: 0x3ba0,
  struct: 'iommu_test_cmd',
  last: 'last',
  fields: [
    ['size', 'u32'],
    ['op', 'u32'],
    ['id', 'u32'],
    ['__reserved', 'u32'],
    ['flags', 'u32'],
    ['out_access_pages_id', 'u32'],
    ['iova', 'u64'],
    ['length', 'u64'],
    ['uptr', 'u64'],
    ['pad0', 'u64'],
    ['pad1', 'u64'],
    ['last', 'u32'],
  ],
} as const;

export const TEST_DESTROY_ACCESS_PAGES = {
  name: 'IOMMU_TEST_CMD',
  request: 0x3ba0,
  struct: 'iommu_test_cmd',
  last: 'last',
  fields: [
    ['size', 'u32'],
    ['op', 'u32'],
    ['id', 'u32'],
    ['__reserved', 'u32'],
    ['access_pages_id', 'u32'],
    ['pad0', 'u32'],
    ['pad1', 'u64'],
    ['pad2', 'u64'],
    ['pad3', 'u64'],
    ['pad4', 'u64'],
    ['pad5', 'u64'],
    ['last', 'u32'],
  ],
} as const;

export const TEST_DIRTY = {
  name: 'IOMMU_TEST_CMD',
  request: 0x3ba0,
  struct: 'iommu_test_cmd',
  last: 'last',
  fields: [
    ['size', 'u32'],
    ['op', 'u32'],
    ['id', 'u32'],
    ['__reserved', 'u32'],
    ['flags', 'u32'],
    ['pad0', 'u32'],
    ['iova', 'u64'],
    ['length', 'u64'],
    ['page_size', 'u64'],
    ['uptr', 'u64'],
    ['out_nr_dirty', 'u64'],
    ['last', 'u32'],
  ],
} as const;

export const TEST_TRIGGER_IOPF = {
  name: 'IOMMU_TEST_CMD',
  request: 0x3ba0,
  struct: 'iommu_test_cmd',
  last: 'last',
  fields: [
    ['size', 'u32'],
    ['op', 'u32'],
    ['id', 'u32'],
    ['__reserved', 'u32'],
    ['dev_id', 'u32'],
    ['pasid', 'u32'],
    ['grpid', 'u32'],
    ['perm', 'u32'],
    ['addr', 'u64'],
    ['pad0', 'u64'],
    ['pad1', 'u64'],
    ['pad2', 'u64'],
    ['last', 'u32'],
  ],
} as const;

/** What GET_HW_INFO tells about the mock. */
export const TEST_HW_INFO = [
  ['flags', 'u32'],
  ['test_reg', 'u32'],
] as const;
