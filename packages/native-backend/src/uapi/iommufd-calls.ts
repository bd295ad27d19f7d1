import type { Call } from './call.ts';
import * as core from './iommufd.ts';
import * as file from './iommufd-file.ts';
import * as hardware from './iommufd-hardware.ts';
import * as virtual from './iommufd-virtual.ts';
import type { Layout } from './layout.ts';

/** Structures of that header that calls point to or descriptors carry, by their names there. */
export const IOMMUFD_STRUCTS: Readonly<Record<string, Layout>> = {
  iommu_iova_range: core.IOMMU_IOVA_RANGE,
  iommu_hwpt_pgfault: core.IOMMU_HWPT_PGFAULT,
  iommu_hwpt_page_response: core.IOMMU_HWPT_PAGE_RESPONSE,
  iommufd_vevent_header: virtual.IOMMUFD_VEVENT_HEADER,
  iommu_hw_info_vtd: hardware.IOMMU_HW_INFO_VTD,
  iommu_hwpt_vtd_s1: hardware.IOMMU_HWPT_VTD_S1,
  iommu_hwpt_vtd_s1_invalidate: hardware.IOMMU_HWPT_VTD_S1_INVALIDATE,
  iommu_hw_info_arm_smmuv3: hardware.IOMMU_HW_INFO_ARM_SMMUV3,
  iommu_hwpt_arm_smmuv3: hardware.IOMMU_HWPT_ARM_SMMUV3,
  iommu_viommu_arm_smmuv3_invalidate: hardware.IOMMU_VIOMMU_ARM_SMMUV3_INVALIDATE,
  iommu_vevent_arm_smmuv3: hardware.IOMMU_VEVENT_ARM_SMMUV3,
  iommu_hw_info_tegra241_cmdqv: hardware.IOMMU_HW_INFO_TEGRA241_CMDQV,
  iommu_viommu_tegra241_cmdqv: hardware.IOMMU_VIOMMU_TEGRA241_CMDQV,
  iommu_vevent_tegra241_cmdqv: hardware.IOMMU_VEVENT_TEGRA241_CMDQV,
  iommu_hw_info_amd: hardware.IOMMU_HW_INFO_AMD,
  iommu_hwpt_amd_guest: hardware.IOMMU_HWPT_AMD_GUEST,
};

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
