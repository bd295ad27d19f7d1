import { AMD_LEGACY, AMDV1 } from './amdv1.ts';
import { ARM_LPAE } from './arm-lpae.ts';
import type { IoPageTableFormat, IoPageTableName } from './format.ts';
import { VTD, VTD_LEGACY } from './vtd.ts';

/** Every IO page-table variant by name. */
export const IO_PAGE_TABLES: Readonly<Record<IoPageTableName, IoPageTableFormat>> = {
  vtd: VTD,
  amdv1: AMDV1,
  'vtd-legacy': VTD_LEGACY,
  'amd-legacy': AMD_LEGACY,
  'arm-lpae': ARM_LPAE,
};
