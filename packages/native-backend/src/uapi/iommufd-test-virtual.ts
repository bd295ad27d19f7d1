/*
 * drivers/iommu/iommufd/iommufd_test.h as data, the part about nested page tables, vIOMMUs and PASIDs. The mock's IOTLB and
 * device cache are four numbers each: what was given at the start, 0 after an invalidation.
 */

/** Since 6.13, 6.15 (event, PASID). */
export const IOMMU_TEST_OP_DEV_CHECK_CACHE: 16 = 16;
export const IOMMU_TEST_OP_TRIGGER_VEVENT: 17 = 17;
export const IOMMU_TEST_OP_PASID_ATTACH: 18 = 18;
export const IOMMU_TEST_OP_PASID_REPLACE: 19 = 19;
export const IOMMU_TEST_OP_PASID_DETACH: 20 = 20;
export const IOMMU_TEST_OP_PASID_CHECK_HWPT: 21 = 21;

export const MOCK_FLAGS_DEVICE_NO_DIRTY: 1 = 1;
export const MOCK_FLAGS_DEVICE_PASID: 4 = 4;
/** PASIDs of a mock device with MOCK_FLAGS_DEVICE_PASID. */
export const MOCK_PASIDS: 0x100000 = 0x100000;
/** The second page table in a row that this PASID gets is refused: a driver that fails. */
export const IOMMU_TEST_PASID_RESERVED: 1024 = 1024;

export const MOCK_IOTLB_ENTRIES: 4 = 4;
export const IOMMU_TEST_IOTLB_DEFAULT: 0xbadbeef = 0xbadbeef;
export const IOMMU_TEST_DEV_CACHE_DEFAULT: 0xbaddad = 0xbaddad;

/** Type of the data of every object of the mock. */
export const IOMMU_HWPT_DATA_SELFTEST: 0xdead = 0xdead;
export const IOMMU_HWPT_INVALIDATE_DATA_SELFTEST: 0xdeadbeef = 0xdeadbeef;
export const IOMMU_VIOMMU_TYPE_SELFTEST: 0xdeadbeef = 0xdeadbeef;
export const IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST: 0xdeadbeef = 0xdeadbeef;
export const IOMMU_VEVENTQ_TYPE_SELFTEST: 0xbeefbeef = 0xbeefbeef;
export const IOMMU_HW_QUEUE_TYPE_SELFTEST: 0xdeadbeef = 0xdeadbeef;
export const IOMMU_TEST_HW_QUEUE_MAX: 2 = 2;
/** Every entry of the cache, whatever the number says. */
export const IOMMU_TEST_INVALIDATE_FLAG_ALL: 1 = 1;

/** Data of a nested page table: what its IOTLB holds at the start. The second field since 6.19; 6.12 knows the first. */
export const IOMMU_HWPT_SELFTEST = [
  ['iotlb', 'u32'],
  ['pagetable_type', 'u32'],
] as const;

export const IOMMU_HWPT_INVALIDATE_SELFTEST = [
  ['flags', 'u32'],
  ['iotlb_id', 'u32'],
] as const;

export const IOMMU_VIOMMU_INVALIDATE_SELFTEST = [
  ['flags', 'u32'],
  ['vdev_id', 'u32'],
  ['cache_id', 'u32'],
] as const;

/** Data of a vIOMMU: a number that comes back, and where two pages can be mapped whose first word it is. */
export const IOMMU_VIOMMU_SELFTEST = [
  ['in_data', 'u32'],
  ['out_data', 'u32'],
  ['out_mmap_offset', 'u64'],
  ['out_mmap_length', 'u64'],
] as const;

/** An event of the mock's vIOMMU. */
export const IOMMU_VIOMMU_EVENT_SELFTEST = [['virt_id', 'u32']] as const;

/** MOCK_DOMAIN with flags of the device. */
export const TEST_MOCK_DOMAIN_FLAGS = {
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
    ['dev_flags', 'u32'],
    ['pad0', 'u64'],
    ['pad1', 'u64'],
    ['pad2', 'u64'],
    ['pad3', 'u64'],
    ['last', 'u32'],
  ],
} as const;

/** MD_CHECK_IOTLB: `id` is the page table, `entry` of its cache holds `value`. DEV_CHECK_CACHE: the same for a device. */
export const TEST_CHECK_CACHE = {
  name: 'IOMMU_TEST_CMD',
  request: 0x3ba0,
  struct: 'iommu_test_cmd',
  last: 'last',
  fields: [
    ['size', 'u32'],
    ['op', 'u32'],
    ['id', 'u32'],
    ['__reserved', 'u32'],
    ['entry', 'u32'],
    ['value', 'u32'],
    ['pad0', 'u64'],
    ['pad1', 'u64'],
    ['pad2', 'u64'],
    ['pad3', 'u64'],
    ['pad4', 'u64'],
    ['last', 'u32'],
  ],
} as const;

/** An event for the guest, from a device. */
export const TEST_TRIGGER_VEVENT = {
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
    ['pad', 'u32'],
    ['pad0', 'u64'],
    ['pad1', 'u64'],
    ['pad2', 'u64'],
    ['pad3', 'u64'],
    ['pad4', 'u64'],
    ['last', 'u32'],
  ],
} as const;

/** PASID_ATTACH, _REPLACE, _DETACH and _CHECK_HWPT; `id` is the selftest's object. */
export const TEST_PASID = {
  name: 'IOMMU_TEST_CMD',
  request: 0x3ba0,
  struct: 'iommu_test_cmd',
  last: 'last',
  fields: [
    ['size', 'u32'],
    ['op', 'u32'],
    ['id', 'u32'],
    ['__reserved', 'u32'],
    ['pasid', 'u32'],
    ['pt_id', 'u32'],
    ['pad0', 'u64'],
    ['pad1', 'u64'],
    ['pad2', 'u64'],
    ['pad3', 'u64'],
    ['pad4', 'u64'],
    ['last', 'u32'],
  ],
} as const;
