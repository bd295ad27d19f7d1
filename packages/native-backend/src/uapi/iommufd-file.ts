/* include/uapi/linux/iommufd.h as data: mappings of files, and what lets a mapping outlive its process. Linux 7.3. */

/** Since 6.13. */
export const IOMMU_IOAS_MAP_FILE = {
  name: 'IOMMU_IOAS_MAP_FILE',
  request: 0x3b8f,
  struct: 'iommu_ioas_map_file',
  last: 'iova',
  fields: [
    ['size', 'u32'],
    ['flags', 'u32'],
    ['ioas_id', 'u32'],
    ['fd', 's32'],
    ['start', 'u64'],
    ['length', 'u64'],
    ['iova', 'u64'],
  ],
} as const;

/** Since 6.13. */
export const IOMMU_IOAS_CHANGE_PROCESS = {
  name: 'IOMMU_IOAS_CHANGE_PROCESS',
  request: 0x3b92,
  struct: 'iommu_ioas_change_process',
  last: '__reserved',
  fields: [
    ['size', 'u32'],
    ['__reserved', 'u32'],
  ],
} as const;

export const IOMMU_VFIO_IOAS_GET: 0 = 0;
export const IOMMU_VFIO_IOAS_SET: 1 = 1;
export const IOMMU_VFIO_IOAS_CLEAR: 2 = 2;

/** Which address space the VFIO container calls of this descriptor mean. */
export const IOMMU_VFIO_IOAS = {
  name: 'IOMMU_VFIO_IOAS',
  request: 0x3b88,
  struct: 'iommu_vfio_ioas',
  last: '__reserved',
  fields: [
    ['size', 'u32'],
    ['ioas_id', 'u32'],
    ['op', 'u16'],
    ['__reserved', 'u16'],
  ],
} as const;

/** Since 7.3; needs CONFIG_IOMMUFD_NOIOMMU. */
export const IOMMU_IOAS_NOIOMMU_GET_PA = {
  name: 'IOMMU_IOAS_NOIOMMU_GET_PA',
  request: 0x3b95,
  struct: 'iommu_ioas_noiommu_get_pa',
  last: 'out_phys',
  fields: [
    ['size', 'u32'],
    ['flags', 'u32'],
    ['ioas_id', 'u32'],
    ['__reserved', 'u32'],
    ['iova', 'u64'],
    ['length', 'u64'],
    ['out_phys', 'u64'],
  ],
} as const;
