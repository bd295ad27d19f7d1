import { defineTracepoint, type Errno, type TracepointDef } from '@gpusvm/kernel';

/** End of a migration to device memory. */
export interface MigrateToDevmemEvent {
  readonly pagemap: string;
  readonly startPage: number;
  readonly endPage: number;
  readonly err: Errno;
}

/** End of a migration to RAM, by a CPU fault or by an eviction. */
export interface MigrateToRamEvent {
  readonly pagemap: string;
  readonly cause: 'cpu-fault' | 'evict';
  /** Pages committed to RAM. */
  readonly pages: number;
  readonly err: Errno;
}

/** The pages of a migration are about to be copied. */
export interface SegmentEvent {
  /** Who copies: the destination from system memory, or a peer that holds the source. */
  readonly mover: string;
  readonly direction: 'sys-to-dev' | 'remote-to-local' | 'dev-to-sys';
  /** Slots of the migration's arrays. */
  readonly start: number;
  readonly end: number;
}

/** A device memory allocation lost its last page and its migration. */
export interface DevmemReleaseEvent {
  readonly pagemap: string;
  readonly sizeBytes: number;
}

export const MIGRATE_TO_DEVMEM: TracepointDef<MigrateToDevmemEvent> = defineTracepoint(
  'drm_pagemap_migrate_to_devmem',
);
export const MIGRATE_TO_RAM: TracepointDef<MigrateToRamEvent> = defineTracepoint(
  'drm_pagemap_migrate_to_ram',
);
export const MIGRATE_SEGMENT: TracepointDef<SegmentEvent> = defineTracepoint('drm_pagemap_migrate_segment');
export const DEVMEM_RELEASE: TracepointDef<DevmemReleaseEvent> = defineTracepoint(
  'drm_pagemap_devmem_release',
);
