import { invoke } from './invoke.ts';
import type { Iommufd } from './iommufd.ts';
import { check } from './kernel-error.ts';
import { IOMMU_GET_HW_INFO } from './uapi/iommufd.ts';
import { IOMMU_HW_CAP_DIRTY_TRACKING } from './uapi/iommufd-hardware.ts';

/** What the kernel tells about the IOMMU of a device. */
export interface HwInfo {
  /** IOMMU_HW_INFO_TYPE_*. */
  readonly type: number;
  /** In the format of the type: see `IOMMU_HW_INFO_VTD` and its like, and `decode`. */
  readonly data: Uint8Array;
  /** IOMMU_HW_CAP_*; 0n before 6.7. */
  readonly capabilities: bigint;
  /** The device records the pages that it writes. */
  readonly dirtyTracking: boolean;
  /** Width of a PASID of the device, 0 = it has none. */
  readonly pasidBits: number;
}

/** No format is as long. */
const MOST_DATA_BYTES = 1024;

/** @internal IOMMU_GET_HW_INFO. @throws KernelError ENOENT for an id that is no device's. */
export function readHwInfo(iommufd: Iommufd, deviceId: number): HwInfo {
  const scratch = iommufd.scratch(MOST_DATA_BYTES);
  const values = { dev_id: deviceId, data_len: MOST_DATA_BYTES, data_uptr: scratch.address };
  const { result, out } = invoke(iommufd.sys, iommufd.fd, IOMMU_GET_HW_INFO, values);
  check(IOMMU_GET_HW_INFO.name, result, values);
  return {
    type: out.out_data_type,
    data: scratch.bytes.slice(0, out.data_len),
    capabilities: out.out_capabilities,
    dirtyTracking: (out.out_capabilities & IOMMU_HW_CAP_DIRTY_TRACKING) !== 0n,
    pasidBits: out.out_max_pasid_log2,
  };
}
