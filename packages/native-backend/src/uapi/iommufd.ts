/*
 * include/uapi/linux/iommufd.h as data (Linux 7.3; fields that 6.12 lacks are at the end of their structure, so an
 * older kernel accepts them while they are 0).
 */

/** IOMMU_IOAS_MAP and IOMMU_IOAS_COPY. */
export const IOMMU_IOAS_MAP_FIXED_IOVA: 1 = 1;
export const IOMMU_IOAS_MAP_WRITEABLE: 2 = 2;
export const IOMMU_IOAS_MAP_READABLE: 4 = 4;

export const IOMMU_OPTION_RLIMIT_MODE: 0 = 0;
export const IOMMU_OPTION_HUGE_PAGES: 1 = 1;
export const IOMMU_OPTION_OP_SET: 0 = 0;
export const IOMMU_OPTION_OP_GET: 1 = 1;

export const IOMMU_HWPT_ALLOC_NEST_PARENT: 1 = 1;
export const IOMMU_HWPT_ALLOC_DIRTY_TRACKING: 2 = 2;
export const IOMMU_HWPT_FAULT_ID_VALID: 4 = 4;
export const IOMMU_HWPT_ALLOC_PASID: 8 = 8;

export const IOMMU_HWPT_DIRTY_TRACKING_ENABLE: 1 = 1;
export const IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR: 1 = 1;

/** `out_data_type` says which format is wanted (since 6.17); without it the kernel chooses. */
export const IOMMU_HW_INFO_FLAG_INPUT_TYPE: 1 = 1;

export const IOMMUFD_PAGE_RESP_SUCCESS: 0 = 0;
export const IOMMUFD_PAGE_RESP_INVALID: 1 = 1;

/** All of them are `_IO(';', nr)`. */
export const IOMMU_DESTROY = {
  name: 'IOMMU_DESTROY',
  request: 0x3b80,
  struct: 'iommu_destroy',
  last: 'id',
  fields: [
    ['size', 'u32'],
    ['id', 'u32'],
  ],
} as const;

export const IOMMU_IOAS_ALLOC = {
  name: 'IOMMU_IOAS_ALLOC',
  request: 0x3b81,
  struct: 'iommu_ioas_alloc',
  last: 'out_ioas_id',
  fields: [
    ['size', 'u32'],
    ['flags', 'u32'],
    ['out_ioas_id', 'u32'],
  ],
} as const;

export const IOMMU_IOAS_ALLOW_IOVAS = {
  name: 'IOMMU_IOAS_ALLOW_IOVAS',
  request: 0x3b82,
  struct: 'iommu_ioas_allow_iovas',
  last: 'allowed_iovas',
  fields: [
    ['size', 'u32'],
    ['ioas_id', 'u32'],
    ['num_iovas', 'u32'],
    ['__reserved', 'u32'],
    ['allowed_iovas', 'u64'],
  ],
} as const;

export const IOMMU_IOAS_COPY = {
  name: 'IOMMU_IOAS_COPY',
  request: 0x3b83,
  struct: 'iommu_ioas_copy',
  last: 'src_iova',
  fields: [
    ['size', 'u32'],
    ['flags', 'u32'],
    ['dst_ioas_id', 'u32'],
    ['src_ioas_id', 'u32'],
    ['length', 'u64'],
    ['dst_iova', 'u64'],
    ['src_iova', 'u64'],
  ],
} as const;

export const IOMMU_IOAS_IOVA_RANGES = {
  name: 'IOMMU_IOAS_IOVA_RANGES',
  request: 0x3b84,
  struct: 'iommu_ioas_iova_ranges',
  last: 'out_iova_alignment',
  fields: [
    ['size', 'u32'],
    ['ioas_id', 'u32'],
    ['num_iovas', 'u32'],
    ['__reserved', 'u32'],
    ['allowed_iovas', 'u64'],
    ['out_iova_alignment', 'u64'],
  ],
} as const;

/** Element of the array of IOMMU_IOAS_IOVA_RANGES and IOMMU_IOAS_ALLOW_IOVAS. */
export const IOMMU_IOVA_RANGE = [
  ['start', 'u64'],
  ['last', 'u64'],
] as const;

export const IOMMU_IOAS_MAP = {
  name: 'IOMMU_IOAS_MAP',
  request: 0x3b85,
  struct: 'iommu_ioas_map',
  last: 'iova',
  fields: [
    ['size', 'u32'],
    ['flags', 'u32'],
    ['ioas_id', 'u32'],
    ['__reserved', 'u32'],
    ['user_va', 'u64'],
    ['length', 'u64'],
    ['iova', 'u64'],
  ],
} as const;

export const IOMMU_IOAS_UNMAP = {
  name: 'IOMMU_IOAS_UNMAP',
  request: 0x3b86,
  struct: 'iommu_ioas_unmap',
  last: 'length',
  fields: [
    ['size', 'u32'],
    ['ioas_id', 'u32'],
    ['iova', 'u64'],
    ['length', 'u64'],
  ],
} as const;

export const IOMMU_OPTION = {
  name: 'IOMMU_OPTION',
  request: 0x3b87,
  struct: 'iommu_option',
  last: 'val64',
  fields: [
    ['size', 'u32'],
    ['option_id', 'u32'],
    ['op', 'u16'],
    ['__reserved', 'u16'],
    ['object_id', 'u32'],
    ['val64', 'u64'],
  ],
} as const;

export const IOMMU_HWPT_ALLOC = {
  name: 'IOMMU_HWPT_ALLOC',
  request: 0x3b89,
  struct: 'iommu_hwpt_alloc',
  last: '__reserved',
  fields: [
    ['size', 'u32'],
    ['flags', 'u32'],
    ['dev_id', 'u32'],
    ['pt_id', 'u32'],
    ['out_hwpt_id', 'u32'],
    ['__reserved', 'u32'],
    ['data_type', 'u32'],
    ['data_len', 'u32'],
    ['data_uptr', 'u64'],
    ['fault_id', 'u32'],
    ['__reserved2', 'u32'],
  ],
} as const;

export const IOMMU_GET_HW_INFO = {
  name: 'IOMMU_GET_HW_INFO',
  request: 0x3b8a,
  struct: 'iommu_hw_info',
  last: '__reserved2',
  fields: [
    ['size', 'u32'],
    ['flags', 'u32'],
    ['dev_id', 'u32'],
    ['data_len', 'u32'],
    ['data_uptr', 'u64'],
    ['out_data_type', 'u32'],
    ['out_max_pasid_log2', 'u8'],
    ['__reserved0', 'u8'],
    ['__reserved1', 'u8'],
    ['__reserved2', 'u8'],
    ['out_capabilities', 'u64'],
  ],
} as const;

export const IOMMU_HWPT_SET_DIRTY_TRACKING = {
  name: 'IOMMU_HWPT_SET_DIRTY_TRACKING',
  request: 0x3b8b,
  struct: 'iommu_hwpt_set_dirty_tracking',
  last: '__reserved',
  fields: [
    ['size', 'u32'],
    ['flags', 'u32'],
    ['hwpt_id', 'u32'],
    ['__reserved', 'u32'],
  ],
} as const;

export const IOMMU_HWPT_GET_DIRTY_BITMAP = {
  name: 'IOMMU_HWPT_GET_DIRTY_BITMAP',
  request: 0x3b8c,
  struct: 'iommu_hwpt_get_dirty_bitmap',
  last: 'data',
  fields: [
    ['size', 'u32'],
    ['hwpt_id', 'u32'],
    ['flags', 'u32'],
    ['__reserved', 'u32'],
    ['iova', 'u64'],
    ['length', 'u64'],
    ['page_size', 'u64'],
    ['data', 'u64'],
  ],
} as const;

export const IOMMU_FAULT_QUEUE_ALLOC = {
  name: 'IOMMU_FAULT_QUEUE_ALLOC',
  request: 0x3b8e,
  struct: 'iommu_fault_alloc',
  last: 'out_fault_fd',
  fields: [
    ['size', 'u32'],
    ['flags', 'u32'],
    ['out_fault_id', 'u32'],
    ['out_fault_fd', 'u32'],
  ],
} as const;

/** What a read of the fault queue's descriptor returns, one or more. */
export const IOMMU_HWPT_PGFAULT = [
  ['flags', 'u32'],
  ['dev_id', 'u32'],
  ['pasid', 'u32'],
  ['grpid', 'u32'],
  ['perm', 'u32'],
  ['__reserved', 'u32'],
  ['addr', 'u64'],
  ['length', 'u32'],
  ['cookie', 'u32'],
] as const;

/** What is written to it to answer one. */
export const IOMMU_HWPT_PAGE_RESPONSE = [
  ['cookie', 'u32'],
  ['code', 'u32'],
] as const;
