import type { FolioTable } from '@gpusvm/hmm';
import type { Pfn } from '@gpusvm/kernel';
import { type DrmPagemapDevmem, drmPagemapDevmemRelease } from './devmem.ts';
import type { DrmPagemap } from './pagemap.ts';

/**
 * Zone device data (struct drm_pagemap_zdd): what a device folio knows about where it comes from, from its
 * allocation to its free. References: one of the migration that made it, one per live device folio; kept as two
 * plain numbers instead of a Kref, because they change once per folio.
 */
export class Zdd {
  readonly devmem: DrmPagemapDevmem;
  readonly dpagemap: DrmPagemap;
  /** Live device folios that point here. */
  folios = 0;
  /** 1 while the migration runs that made it. */
  migrations = 1;

  /** drm_pagemap_zdd_alloc: the caller's migration reference, a counted pagemap, an owned allocation. */
  constructor(devmem: DrmPagemapDevmem) {
    this.devmem = devmem;
    this.dpagemap = devmem.dpagemap;
    this.dpagemap.get('zdd');
    this.dpagemap.liveZdds++;
  }

  /** All references. */
  get refcount(): number {
    return this.folios + this.migrations;
  }

  /** A device folio points here. */
  getFolio(): void {
    if (this.refcount === 0) throw new Error(`zdd of ${this.dpagemap.name} taken after its release`);
    this.folios++;
  }

  /** A device folio was freed. Any context: does not sleep. */
  putFolio(): void {
    if (this.folios === 0)
      throw new Error(`zdd of ${this.dpagemap.name}: a folio puts what it does not hold`);
    this.folios--;
    if (this.refcount === 0) this.#release();
  }

  /** The migration that made it is over. */
  putMigration(): void {
    if (this.migrations === 0) throw new Error(`zdd of ${this.dpagemap.name}: no migration to put`);
    this.migrations--;
    if (this.refcount === 0) this.#release();
  }

  /** drm_pagemap_zdd_destroy: `detached` first, so that an evictor sees it as soon as the memory can go. */
  #release(): void {
    this.devmem.detached.completeAll();
    drmPagemapDevmemRelease(this.devmem);
    this.dpagemap.liveZdds--;
    this.dpagemap.put('zdd');
  }
}

/**
 * The zdd of a device page (drm_pagemap_page_zone_device_data): of its folio. Does not sleep.
 *
 * @throws TypeError when the page does not come from a drm_pagemap.
 */
export function drmPagemapPageZdd(folios: FolioTable, pfn: Pfn): Zdd {
  const data = folios.zoneDeviceData(folios.head(pfn));
  if (!(data instanceof Zdd)) throw new TypeError(`pfn ${pfn} is not a page of a drm_pagemap`);
  return data;
}

/**
 * The pagemap a device page belongs to (drm_pagemap_page_to_dpagemap). Does not sleep.
 *
 * @throws TypeError when the page does not come from a drm_pagemap.
 */
export function drmPagemapPageToDpagemap(folios: FolioTable, pfn: Pfn): DrmPagemap {
  return drmPagemapPageZdd(folios, pfn).devmem.dpagemap;
}
