import type { DmaDevice } from '@gpusvm/dma-iova';
import type { Mm } from '@gpusvm/hmm';
import { Completion, type DmaFence, type Errno, type Machine, type Task } from '@gpusvm/kernel';
import type { MapStrategy } from './map-strategy/strategy.ts';
import type { PagemapAddrs } from './pagemap-addr.ts';
import type { DrmPagemap } from './pagemap.ts';

/**
 * What a driver supplies per allocation (struct drm_pagemap_devmem_ops).
 *
 * The copy operations return only after the data is in place. Both of their arrays are by page and sparse: a slot
 * with `pages[i] === NO_PFN` or `addrs.addr[i] === 0` is a hole and is not touched; an entry of order o fills one
 * slot. `preMigrateFence` is waited for before the first byte is written, also when there is nothing to copy. An
 * operation may write into `addrs`.
 */
export interface DrmPagemapDevmemOps {
  /** Write the raw page-frame number of every page of the allocation into `pfn`. Does not sleep. */
  populateDevmemPfn(devmem: DrmPagemapDevmem, npages: number, pfn: Float64Array): Errno;
  /** Copy from addresses to own device pages. */
  copyToDevmem(
    pages: Float64Array,
    addrs: PagemapAddrs,
    npages: number,
    preMigrateFence: DmaFence | null,
  ): Task<Errno>;
  /** Copy from own device pages to addresses. */
  copyToRam(
    pages: Float64Array,
    addrs: PagemapAddrs,
    npages: number,
    preMigrateFence: DmaFence | null,
  ): Task<Errno>;
  /** Drop the driver's allocation. Any context: must not sleep. */
  devmemRelease?(devmem: DrmPagemapDevmem): void;
}

/** Arguments of drm_pagemap_devmem_init. */
export interface DrmPagemapDevmemOptions {
  /** Device that copies and for which system pages are mapped. */
  readonly device: DmaDevice;
  /** Not counted, as in the kernel: every use goes through `mmgetNotZero`. */
  readonly mm: Mm;
  readonly ops: DrmPagemapDevmemOps;
  readonly dpagemap: DrmPagemap;
  /** Multiple of the page size. */
  readonly sizeBytes: number;
  /** Clear or move that has to end before the memory is written. */
  readonly preMigrateFence: DmaFence | null;
  /** How system pages get DMA addresses for the copies. */
  readonly mapStrategy: MapStrategy;
}

/**
 * One device memory allocation (struct drm_pagemap_devmem). Drivers derive from it or keep it beside their buffer
 * object. It is released exactly once, when neither a migration nor a live device page refers to it.
 */
export class DrmPagemapDevmem {
  readonly machine: Machine;
  readonly device: DmaDevice;
  readonly mm: Mm;
  readonly ops: DrmPagemapDevmemOps;
  readonly dpagemap: DrmPagemap;
  readonly sizeBytes: number;
  readonly mapStrategy: MapStrategy;
  preMigrateFence: DmaFence | null;
  /** Completed when the last device page is gone. */
  readonly detached: Completion;
  /** Virtual instant before which CPU faults do not migrate. */
  timesliceExpirationNs = 0;
  /** `devmemRelease` was called. */
  released = false;

  /** drm_pagemap_devmem_init. The allocation counts as live until it is released. */
  constructor(machine: Machine, o: DrmPagemapDevmemOptions) {
    if (!(o.sizeBytes > 0) || (o.sizeBytes & 4095) !== 0)
      throw new RangeError(`device allocation of ${o.sizeBytes} bytes`);
    this.machine = machine;
    this.device = o.device;
    this.mm = o.mm;
    this.ops = o.ops;
    this.dpagemap = o.dpagemap;
    this.sizeBytes = o.sizeBytes;
    this.preMigrateFence = o.preMigrateFence;
    this.mapStrategy = o.mapStrategy;
    this.detached = new Completion(machine, `detached of ${o.dpagemap.name}`);
    this.dpagemap.liveDevmems++;
  }
}

/**
 * Give the allocation back to the driver; exactly once. Does not sleep. A driver that gives up an allocation that it
 * never migrated into calls it as well.
 *
 * @throws Error on a second release.
 */
export function drmPagemapDevmemRelease(devmem: DrmPagemapDevmem): void {
  if (devmem.released) throw new Error(`device allocation of ${devmem.dpagemap.name} released twice`);
  devmem.released = true;
  devmem.dpagemap.liveDevmems--;
  if (devmem.dpagemap.trace.release.enabled) {
    devmem.dpagemap.trace.release.emit({ pagemap: devmem.dpagemap.name, sizeBytes: devmem.sizeBytes });
  }
  devmem.ops.devmemRelease?.(devmem);
}
