import { AMD_LEGACY, AMDV1 } from './amdv1.ts';
import { ARM_LPAE, ARM_LPAE_16K, ARM_LPAE_64K } from './arm-lpae.ts';
import type { IoPageTableFormat, IoPageTableName } from './format.ts';
import { VTD, VTD_LEGACY } from './vtd.ts';

/** Every IO page-table variant by name. */
export const IO_PAGE_TABLES: Readonly<Record<IoPageTableName, IoPageTableFormat>> = {
  vtd: VTD,
  amdv1: AMDV1,
  'vtd-legacy': VTD_LEGACY,
  'amd-legacy': AMD_LEGACY,
  'arm-lpae': ARM_LPAE,
  'arm-lpae-16k': ARM_LPAE_16K,
  'arm-lpae-64k': ARM_LPAE_64K,
};
