import { expect, test } from 'vitest';
import { IOMMU_HW_INFO_TYPE_INTEL_VTD, IOMMU_HW_INFO_VTD } from '../src/uapi/iommufd-hardware.ts';
import { decode } from '../src/uapi/layout.ts';
import { attached } from './sim-device.ts';

test('a device tells about its IOMMU', () => {
  using t = attached();
  const info = t.device!.hwInfo();
  expect(info).toMatchObject({ type: IOMMU_HW_INFO_TYPE_INTEL_VTD, dirtyTracking: false, pasidBits: 0 });
  // Bits 21 to 16: the width of an IOVA, less one.
  const { cap_reg } = decode(IOMMU_HW_INFO_VTD, info.data);
  expect((cap_reg >> 16n) & 63n).toBe(47n);
});
