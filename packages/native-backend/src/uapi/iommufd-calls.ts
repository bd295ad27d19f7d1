import type { Call } from './call.ts';
import * as core from './iommufd.ts';
import * as file from './iommufd-file.ts';
import * as virtual from './iommufd-virtual.ts';

/** Every call of include/uapi/linux/iommufd.h of Linux 7.3, by number. */
export const IOMMUFD_CALLS: readonly Call[] = [
  core.IOMMU_DESTROY,
  core.IOMMU_IOAS_ALLOC,
  core.IOMMU_IOAS_ALLOW_IOVAS,
  core.IOMMU_IOAS_COPY,
  core.IOMMU_IOAS_IOVA_RANGES,
  core.IOMMU_IOAS_MAP,
  core.IOMMU_IOAS_UNMAP,
  core.IOMMU_OPTION,
  file.IOMMU_VFIO_IOAS,
  core.IOMMU_HWPT_ALLOC,
  core.IOMMU_GET_HW_INFO,
  core.IOMMU_HWPT_SET_DIRTY_TRACKING,
  core.IOMMU_HWPT_GET_DIRTY_BITMAP,
  virtual.IOMMU_HWPT_INVALIDATE,
  core.IOMMU_FAULT_QUEUE_ALLOC,
  file.IOMMU_IOAS_MAP_FILE,
  virtual.IOMMU_VIOMMU_ALLOC,
  virtual.IOMMU_VDEVICE_ALLOC,
  file.IOMMU_IOAS_CHANGE_PROCESS,
  virtual.IOMMU_VEVENTQ_ALLOC,
  virtual.IOMMU_HW_QUEUE_ALLOC,
  file.IOMMU_IOAS_NOIOMMU_GET_PA,
];
