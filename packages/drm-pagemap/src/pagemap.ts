import type { DmaDataDirection, DmaDevice } from '@gpusvm/dma-iova';
import type { DevPagemap, Mm } from '@gpusvm/hmm';
import {
  EFAULT,
  type Errno,
  type FaultSite,
  Kref,
  type Machine,
  type Pfn,
  type Task,
  type Tracepoint,
} from '@gpusvm/kernel';
import { pagemapCounters } from './counters.ts';
import { MigrateBufferPool } from './migrate-buffers.ts';
import type { PagemapAddrs } from './pagemap-addr.ts';
import {
  DEVMEM_RELEASE,
  type DevmemReleaseEvent,
  MIGRATE_SEGMENT,
  MIGRATE_TO_DEVMEM,
  MIGRATE_TO_RAM,
  type MigrateToDevmemEvent,
  type MigrateToRamEvent,
  type SegmentEvent,
} from './tracepoints.ts';

/** What a driver supplies per pagemap (struct drm_pagemap_ops). */
export interface DrmPagemapOps {
  /**
   * Write into entry `i` of `out` an address by which `dev` reaches the device folio: address, protocol, order,
   * direction. Must not sleep: gpusvm calls it under its notifier lock.
   *
   * An error is DMA_MAPPING_ERROR in `out.addr[i]`.
   */
  deviceMap(
    dpagemap: DrmPagemap,
    dev: DmaDevice,
    pfn: Pfn,
    order: number,
    dir: DmaDataDirection,
    out: PagemapAddrs,
    i: number,
  ): void;
  /** Undo exactly one `deviceMap`. Must not sleep: an MMU notifier may call it. */
  deviceUnmap(dpagemap: DrmPagemap, dev: DmaDevice, addrs: PagemapAddrs, i: number): void;
  /**
   * Allocate device memory and migrate `[startPage, endPage)` into it, best effort. The caller holds the mmap lock for
   * reading and is a user of the mm. May sleep. -ENODEV after unplug.
   */
  populateMm(
    dpagemap: DrmPagemap,
    startPage: number,
    endPage: number,
    mm: Mm,
    timesliceMs: number,
  ): Task<Errno>;
  /** Free everything. With `atomic`, what sleeps is left to a work item. */
  destroy?(dpagemap: DrmPagemap, atomic: boolean): void;
}

/** How a pagemap is made. */
export interface DrmPagemapOptions {
  readonly name: string;
  /** Device that owns the memory. */
  readonly device: DmaDevice;
  readonly ops: DrmPagemapOps;
  /** Page structures of the memory; may be set later, before the first migration. */
  readonly devPagemap?: DevPagemap | null;
}

/**
 * A provider of device memory (struct drm_pagemap). References are held by every zdd, by `drm_gpusvm_pages` with device
 * pages, by VMA attributes and by the driver; the last put destroys it at once (no cache), which also stands for
 * the device and module hold of the kernel.
 */
export class DrmPagemap {
  readonly machine: Machine;
  readonly name: string;
  readonly device: DmaDevice;
  readonly ops: DrmPagemapOps;
  /** Holders: `driver` (the creator), `zdd`, and what callers name. */
  readonly ref: Kref;
  /** @internal live zone device data objects, and device allocations that were not released. */
  liveZdds = 0;
  /** @internal */
  liveDevmems = 0;
  /** @internal */
  readonly buffers: MigrateBufferPool = new MigrateBufferPool();
  /** @internal values of counter group `pagemap`. */
  readonly counters: Float64Array;
  /** @internal */
  readonly sites: { readonly arrays: FaultSite; readonly zdd: FaultSite; readonly ramFolio: FaultSite };
  /** @internal */
  readonly trace: {
    readonly toDevmem: Tracepoint<MigrateToDevmemEvent>;
    readonly toRam: Tracepoint<MigrateToRamEvent>;
    readonly segment: Tracepoint<SegmentEvent>;
    readonly release: Tracepoint<DevmemReleaseEvent>;
  };
  #devPagemap: DevPagemap | null = null;
  /** Retired marks by page of the window (the flag bit beside the kernel's zdd pointer). */
  #retired: Uint8Array = new Uint8Array(0);

  /** drm_pagemap_init: one reference, of holder `driver`. */
  constructor(machine: Machine, o: DrmPagemapOptions) {
    this.machine = machine;
    this.name = o.name;
    this.device = o.device;
    this.ops = o.ops;
    this.ref = new Kref(`pagemap ${o.name}`, 'driver', () => this.ops.destroy?.(this, true));
    this.counters = pagemapCounters(machine).values;
    const { faultInjection, trace } = machine;
    this.sites = {
      arrays: faultInjection.site('pagemap.alloc_arrays'),
      zdd: faultInjection.site('pagemap.zdd'),
      ramFolio: faultInjection.site('pagemap.ram_folio'),
    };
    this.trace = {
      toDevmem: trace.point(MIGRATE_TO_DEVMEM),
      toRam: trace.point(MIGRATE_TO_RAM),
      segment: trace.point(MIGRATE_SEGMENT),
      release: trace.point(DEVMEM_RELEASE),
    };
    if (o.devPagemap !== undefined && o.devPagemap !== null) this.devPagemap = o.devPagemap;
    machine.ledger.register(() => [
      { kind: 'pagemap', count: this.ref.count > 0 ? 1 : 0, detail: `${o.name}: ${this.ref.describe()}` },
      { kind: 'zdd', count: this.liveZdds, detail: o.name },
      { kind: 'devmem', count: this.liveDevmems, detail: o.name },
      { kind: 'migration buffers', count: this.buffers.inUse, detail: o.name },
    ]);
  }

  /**
   * Page structures of the memory; set once.
   *
   * @throws Error when they are read before they are set, or set twice.
   */
  get devPagemap(): DevPagemap {
    if (this.#devPagemap === null) throw new Error(`pagemap ${this.name} has no page structures yet`);
    return this.#devPagemap;
  }

  set devPagemap(devPagemap: DevPagemap) {
    if (this.#devPagemap !== null) throw new Error(`pagemap ${this.name} has its page structures already`);
    this.#devPagemap = devPagemap;
    this.#retired = new Uint8Array(devPagemap.pages);
  }

  /** Token that HMM compares to tell our device pages from others. */
  get owner(): object {
    return this.devPagemap.owner;
  }

  /** drm_pagemap_get. */
  get(holder: string): void {
    this.ref.get(holder);
  }

  /** drm_pagemap_put; the last one destroys. Does not sleep. */
  put(holder: string): boolean {
    return this.ref.put(holder);
  }

  /** @internal Whether the folio's content already moved to RAM (DRM_PAGEMAP_ZDD_FLAG_MIGRATED, 7.3). */
  isRetired(head: Pfn): boolean {
    return this.#retired[head - this.devPagemap.basePfn] === 1;
  }

  /** @internal */
  setRetired(head: Pfn, retired: boolean): void {
    this.#retired[head - this.devPagemap.basePfn] = retired ? 1 : 0;
  }
}

/**
 * Fill a part of an address space with pages of this memory, best effort (drm_pagemap_populate_mm). Takes and
 * releases the mmap lock; may sleep.
 *
 * @returns -EFAULT when the address space is gone, otherwise what `populateMm` returns.
 */
export function* drmPagemapPopulateMm(
  dpagemap: DrmPagemap,
  startPage: number,
  endPage: number,
  mm: Mm,
  timesliceMs: number,
): Task<Errno> {
  if (!mm.mmgetNotZero()) return -EFAULT;
  if (!mm.mmapLock.tryDownRead()) yield* mm.mmapLock.downRead();
  const err = yield* dpagemap.ops.populateMm(dpagemap, startPage, endPage, mm, timesliceMs);
  mm.mmapLock.upRead();
  mm.mmput();
  return err;
}
