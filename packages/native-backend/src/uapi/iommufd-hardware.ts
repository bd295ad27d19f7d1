/*
 * include/uapi/linux/iommufd.h as data, the part that differs from one IOMMU to the next: what GET_HW_INFO tells, and the
 * data of HWPT_ALLOC, HWPT_INVALIDATE, VIOMMU_ALLOC and of event queues in the format of the hardware. Linux 7.3.
 */

export const IOMMU_HW_INFO_TYPE_NONE: 0 = 0;
export const IOMMU_HW_INFO_TYPE_INTEL_VTD: 1 = 1;
export const IOMMU_HW_INFO_TYPE_ARM_SMMUV3: 2 = 2;
export const IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV: 3 = 3;
export const IOMMU_HW_INFO_TYPE_AMD: 4 = 4;

export const IOMMU_HW_CAP_DIRTY_TRACKING: 1n = 1n;
export const IOMMU_HW_CAP_PCI_PASID_EXEC: 2n = 2n;
export const IOMMU_HW_CAP_PCI_PASID_PRIV: 4n = 4n;
export const IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED: 8n = 8n;

export const IOMMU_HWPT_DATA_NONE: 0 = 0;
export const IOMMU_HWPT_DATA_VTD_S1: 1 = 1;
export const IOMMU_HWPT_DATA_ARM_SMMUV3: 2 = 2;
export const IOMMU_HWPT_DATA_AMD_GUEST: 3 = 3;

export const IOMMU_HWPT_INVALIDATE_DATA_VTD_S1: 0 = 0;
export const IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3: 1 = 1;

export const IOMMU_VIOMMU_TYPE_ARM_SMMUV3: 1 = 1;
export const IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV: 2 = 2;
export const IOMMU_VEVENTQ_TYPE_ARM_SMMUV3: 1 = 1;
export const IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV: 2 = 2;
export const IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV: 1 = 1;

/** Registers of VT-d. */
export const IOMMU_HW_INFO_VTD = [
  ['flags', 'u32'],
  ['__reserved', 'u32'],
  ['cap_reg', 'u64'],
  ['ecap_reg', 'u64'],
] as const;

/** The sapphire rapids erratum: a nested page table may not be read-only in its parent. */
export const IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17: 1 = 1;

/** A first-stage page table of VT-d. */
export const IOMMU_HWPT_VTD_S1 = [
  ['flags', 'u64'],
  ['pgtbl_addr', 'u64'],
  ['addr_width', 'u32'],
  ['__reserved', 'u32'],
] as const;

/** Supervisor requests, extended access flag, write protection. */
export const IOMMU_VTD_S1_SRE: 1 = 1;
export const IOMMU_VTD_S1_EAFE: 2 = 2;
export const IOMMU_VTD_S1_WPE: 4 = 4;

/** One invalidation of it. */
export const IOMMU_HWPT_VTD_S1_INVALIDATE = [
  ['addr', 'u64'],
  ['npages', 'u64'],
  ['flags', 'u32'],
  ['__reserved', 'u32'],
] as const;

export const IOMMU_VTD_INV_FLAGS_LEAF: 1 = 1;

/** Identification registers of an Arm SMMUv3. */
export const IOMMU_HW_INFO_ARM_SMMUV3 = [
  ['flags', 'u32'],
  ['__reserved', 'u32'],
  ['idr[0]', 'u32'],
  ['idr[1]', 'u32'],
  ['idr[2]', 'u32'],
  ['idr[3]', 'u32'],
  ['idr[4]', 'u32'],
  ['idr[5]', 'u32'],
  ['iidr', 'u32'],
  ['aidr', 'u32'],
] as const;

/** The parts of a stream table entry that a guest decides. */
export const IOMMU_HWPT_ARM_SMMUV3 = [
  ['ste[0]', 'u64'],
  ['ste[1]', 'u64'],
] as const;

/** One command of the guest's queue. */
export const IOMMU_VIOMMU_ARM_SMMUV3_INVALIDATE = [
  ['cmd[0]', 'u64'],
  ['cmd[1]', 'u64'],
] as const;

/** One event, as the hardware writes it. */
export const IOMMU_VEVENT_ARM_SMMUV3 = [
  ['evt[0]', 'u64'],
  ['evt[1]', 'u64'],
  ['evt[2]', 'u64'],
  ['evt[3]', 'u64'],
] as const;

/** The command queue extension of an NVIDIA SMMU. */
export const IOMMU_HW_INFO_TEGRA241_CMDQV = [
  ['flags', 'u32'],
  ['version', 'u8'],
  ['log2vcmdqs', 'u8'],
  ['log2vsids', 'u8'],
  ['__reserved', 'u8'],
] as const;

/** Where its registers can be mapped. */
export const IOMMU_VIOMMU_TEGRA241_CMDQV = [
  ['out_vintf_mmap_offset', 'u64'],
  ['out_vintf_mmap_length', 'u64'],
] as const;

export const IOMMU_VEVENT_TEGRA241_CMDQV = [
  ['lvcmdq_err_map[0]', 'u64'],
  ['lvcmdq_err_map[1]', 'u64'],
] as const;

/** Extended feature registers of AMD-Vi. */
export const IOMMU_HW_INFO_AMD = [
  ['efr', 'u64'],
  ['efr2', 'u64'],
] as const;

/** The parts of a device table entry that a guest decides. */
export const IOMMU_HWPT_AMD_GUEST = [
  ['dte[0]', 'u64'],
  ['dte[1]', 'u64'],
  ['dte[2]', 'u64'],
  ['dte[3]', 'u64'],
] as const;
