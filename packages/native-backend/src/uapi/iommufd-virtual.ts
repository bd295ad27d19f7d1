/*
 * include/uapi/linux/iommufd.h as data, the part with which a virtual machine monitor gives a guest an IOMMU: page tables of
 * the guest's own (nested), their invalidation, and the objects that stand for the guest's IOMMU, its devices, its event
 * and command queues. Linux 7.3; what is newer than 6.12 says so.
 */

/** Since 6.5 for nested page tables; since 6.13 `hwpt_id` may name a vIOMMU. */
export const IOMMU_HWPT_INVALIDATE = {
  name: 'IOMMU_HWPT_INVALIDATE',
  request: 0x3b8d,
  struct: 'iommu_hwpt_invalidate',
  last: '__reserved',
  fields: [
    ['size', 'u32'],
    ['hwpt_id', 'u32'],
    ['data_uptr', 'u64'],
    ['data_type', 'u32'],
    ['entry_len', 'u32'],
    ['entry_num', 'u32'],
    ['__reserved', 'u32'],
  ],
} as const;

/** Since 6.13; the data since 6.17. */
export const IOMMU_VIOMMU_ALLOC = {
  name: 'IOMMU_VIOMMU_ALLOC',
  request: 0x3b90,
  struct: 'iommu_viommu_alloc',
  last: 'out_viommu_id',
  fields: [
    ['size', 'u32'],
    ['flags', 'u32'],
    ['type', 'u32'],
    ['dev_id', 'u32'],
    ['hwpt_id', 'u32'],
    ['out_viommu_id', 'u32'],
    ['data_len', 'u32'],
    ['__reserved', 'u32'],
    ['data_uptr', 'u64'],
  ],
} as const;

/** Since 6.13. */
export const IOMMU_VDEVICE_ALLOC = {
  name: 'IOMMU_VDEVICE_ALLOC',
  request: 0x3b91,
  struct: 'iommu_vdevice_alloc',
  last: 'virt_id',
  fields: [
    ['size', 'u32'],
    ['viommu_id', 'u32'],
    ['dev_id', 'u32'],
    ['out_vdevice_id', 'u32'],
    ['virt_id', 'u64'],
  ],
} as const;

/** Since 6.15. */
export const IOMMU_VEVENTQ_ALLOC = {
  name: 'IOMMU_VEVENTQ_ALLOC',
  request: 0x3b93,
  struct: 'iommu_veventq_alloc',
  last: 'out_veventq_fd',
  fields: [
    ['size', 'u32'],
    ['flags', 'u32'],
    ['viommu_id', 'u32'],
    ['type', 'u32'],
    ['veventq_depth', 'u32'],
    ['out_veventq_id', 'u32'],
    ['out_veventq_fd', 'u32'],
    ['__reserved', 'u32'],
  ],
} as const;

export const IOMMU_VEVENTQ_FLAG_LOST_EVENTS: 1 = 1;

/** In front of every event that is read from such a queue; the event's own bytes follow, none when events were lost. */
export const IOMMUFD_VEVENT_HEADER = [
  ['flags', 'u32'],
  ['sequence', 'u32'],
] as const;

/** Since 6.17. */
export const IOMMU_HW_QUEUE_ALLOC = {
  name: 'IOMMU_HW_QUEUE_ALLOC',
  request: 0x3b94,
  struct: 'iommu_hw_queue_alloc',
  last: 'length',
  fields: [
    ['size', 'u32'],
    ['flags', 'u32'],
    ['viommu_id', 'u32'],
    ['type', 'u32'],
    ['index', 'u32'],
    ['out_hw_queue_id', 'u32'],
    ['nesting_parent_iova', 'u64'],
    ['length', 'u64'],
  ],
} as const;
