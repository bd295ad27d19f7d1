import {
  IOMMU_HW_CAP_DIRTY_TRACKING,
  IOMMU_HW_INFO_TYPE_INTEL_VTD,
  IOMMU_HW_INFO_TYPE_NONE,
  IOMMU_HW_INFO_VTD,
  IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17,
} from '../uapi/iommufd-hardware.ts';
import {
  MOCK_APERTURE_LAST,
  MOCK_APERTURE_START,
  MOCK_IO_PAGE_SIZE,
  TEST_HW_INFO,
} from '../uapi/iommufd-test.ts';
import { encoded } from '../uapi/layout.ts';

/** Inclusive range of IOVAs. */
export interface SimRange {
  readonly start: bigint;
  readonly last: bigint;
}

/** What an IOMMU driver decides, seen through iommufd: everything in which two drivers differ. */
export interface SimDriver {
  readonly name: 'vtd' | 'amd' | 'mock';
  /** Where the values were seen. */
  readonly source: string;
  readonly aperture: SimRange;
  readonly ioPageBytes: bigint;
  /** Reserved for every device behind it (MSI doorbell, HyperTransport). */
  readonly reserved: readonly SimRange[];
  /** Type, capabilities and data of IOMMU_GET_HW_INFO. */
  readonly hwInfo: { readonly type: number; readonly capabilities: bigint; readonly data: Uint8Array };
  /** Devices read what was mapped for writing only: bit 0 of an entry is set always (VT-d before the generic table). */
  readonly readsWriteOnly: boolean;
  readonly dirtyTracking: boolean;
  readonly nesting: boolean;
  /** Has an operation for page tables of a guest, whether or not anything can be their parent. */
  readonly allocatesNested: boolean;
  /** Makes page tables for PASIDs, whether or not a device has any. */
  readonly pasidTables: boolean;
  /** MOCK_DOMAIN works: only where no real driver is registered in front of the mock. */
  readonly mockDevices: boolean;
}

const MSI: SimRange = { start: 0xfee00000n, last: 0xfeefffffn };
const U64_MAX = 2n ** 64n - 1n;

/** Emulated by QEMU 7.2 with a 48-bit address width. */
export const SIM_VTD: SimDriver = {
  name: 'vtd',
  source: 'QEMU 7.2 intel-iommu, aw-bits=48, Linux 6.12.117',
  aperture: { start: 0n, last: 2n ** 48n - 1n },
  ioPageBytes: 4096n,
  reserved: [MSI],
  hwInfo: {
    type: IOMMU_HW_INFO_TYPE_INTEL_VTD,
    capabilities: 0n,
    data: encoded(IOMMU_HW_INFO_VTD, {
      flags: IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17,
      cap_reg: 0xd2008c222f0606n,
      ecap_reg: 0xf00f4en,
    }),
  },
  readsWriteOnly: true,
  dirtyTracking: false,
  nesting: false,
  allocatesNested: true,
  pasidTables: false,
  mockDevices: false,
};

/** The generic page table writes the permissions as they were asked for. */
export const SIM_VTD_7_3: SimDriver = {
  ...SIM_VTD,
  source: 'QEMU 7.2 intel-iommu, aw-bits=48, Linux 7.3.4',
  pasidTables: true,
  readsWriteOnly: false,
};

export const SIM_AMD: SimDriver = {
  name: 'amd',
  source: 'QEMU 7.2 amd-iommu, Linux 6.12.117 (v1 page table)',
  // 2^50 was mapped on 6.12; the v1 format grows by levels up to 64 bits.
  aperture: { start: 0n, last: U64_MAX },
  ioPageBytes: 4096n,
  reserved: [MSI, { start: 0xfd00000000n, last: 0xffffffffffn }],
  hwInfo: { type: IOMMU_HW_INFO_TYPE_NONE, capabilities: 0n, data: new Uint8Array() },
  readsWriteOnly: false,
  dirtyTracking: false,
  nesting: false,
  allocatesNested: true,
  pasidTables: false,
  mockDevices: false,
};

/** On 7.3: the generic page table is made with 48 bits here, and interrupts are not remapped under this QEMU. */
export const SIM_AMD_7_3: SimDriver = {
  ...SIM_AMD,
  source: 'QEMU 7.2 amd-iommu, Linux 7.3.4 (generic page table)',
  // Needs CONFIG_AMD_IOMMU_IOMMUFD for more.
  allocatesNested: false,
  aperture: { start: 0n, last: 2n ** 48n - 1n },
};

/** The mock device of CONFIG_IOMMUFD_TEST: half-sized pages, 32-bit aperture, everything optional implemented. */
export const SIM_MOCK: SimDriver = {
  name: 'mock',
  source: 'drivers/iommu/iommufd/selftest.c, Linux 6.12.117 without an IOMMU',
  aperture: { start: BigInt(MOCK_APERTURE_START), last: BigInt(MOCK_APERTURE_LAST) },
  ioPageBytes: BigInt(MOCK_IO_PAGE_SIZE),
  reserved: [],
  hwInfo: {
    type: 0xfeedbeef,
    capabilities: IOMMU_HW_CAP_DIRTY_TRACKING,
    data: encoded(TEST_HW_INFO, { test_reg: 0xdeadbeef }),
  },
  readsWriteOnly: false,
  dirtyTracking: true,
  nesting: true,
  allocatesNested: true,
  pasidTables: true,
  mockDevices: true,
};

/** In what the kernel itself differs by version. */
export interface SimKernel {
  readonly name: '6.12' | '7.3';
  /** A page table over an IOAS may have a fault queue; 6.12 gives that flag to the driver, which refuses it. */
  readonly pagingFaultQueues: boolean;
  /**
   * Writes are recorded by entry of at least a CPU page (the mock's generic page table of 7.3), or by IO page. Larger
   * entries, which contiguous memory gets, are not modelled: with huge pages switched off there are none.
   */
  readonly dirtyByCpuPage: boolean;
  /** GET_DIRTY_BITMAP refuses length 0 by itself; 6.12 computes with the wrapped end. */
  readonly dirtyChecksLength: boolean;
  /** GET_HW_INFO takes a type that is asked for, and tells that a device has no ATS; the simulated ones have none. */
  readonly hwInfoTypes: boolean;
  /** Objects for a guest's IOMMU, PASIDs, mappings of files (6.13 to 7.3). */
  readonly virtualization: boolean;
}

export const SIM_KERNELS: { readonly '6.12': SimKernel; readonly '7.3': SimKernel } = {
  '6.12': {
    name: '6.12',
    dirtyChecksLength: false,
    pagingFaultQueues: false,
    dirtyByCpuPage: false,
    hwInfoTypes: false,
    virtualization: false,
  },
  '7.3': {
    name: '7.3',
    dirtyChecksLength: true,
    pagingFaultQueues: true,
    dirtyByCpuPage: true,
    hwInfoTypes: true,
    virtualization: true,
  },
};
