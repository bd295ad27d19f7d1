import { DMA_MAPPING_ERROR, type DmaDevice, NO_PFN } from '@gpusvm/dma-iova';
import {
  type DrmBuddyBlock,
  DrmBuddy,
  DrmPagemap,
  DrmPagemapDevmem,
  type DrmPagemapDevmemOps,
  drmPagemapMigrateToDevmem,
  drmPagemapPagemapOpsGet,
  type MapStrategy,
  mapStrategy,
  type PagemapAddrs,
} from '@gpusvm/drm-pagemap';
import { DevPagemap, type FolioTable, type Mm } from '@gpusvm/hmm';
import { type DmaFence, EIO, ENOSPC, type Errno, type Machine, type Task } from '@gpusvm/kernel';
import { type Nvme, NvmeError } from './nvme.ts';

const PAGE = 4096;

/** How an NVMe namespace becomes device memory. */
export interface NvmeMemoryOptions {
  readonly name: string;
  readonly nvme: Nvme;
  /** The DMA API of the controller: its IOAS and the arena in which the folios live. */
  readonly device: DmaDevice;
  readonly folios: FolioTable;
  /** Pages of the namespace to use, from its first byte; default all. */
  readonly pages?: number;
  /** How system pages get DMA addresses; default `iova-packed`. */
  readonly strategy?: MapStrategy;
}

/** One allocation of the namespace. */
export class NvmeDevmem extends DrmPagemapDevmem {
  readonly block: DrmBuddyBlock;

  /** @internal use {@link NvmeMemory.alloc}. */
  constructor(machine: Machine, memory: NvmeMemory, mm: Mm, block: DrmBuddyBlock) {
    super(machine, {
      device: memory.device,
      mm,
      ops: memory.devmemOps,
      dpagemap: memory.pagemap,
      sizeBytes: block.pages * PAGE,
      preMigrateFence: null,
      mapStrategy: memory.strategy,
    });
    this.block = block;
  }
}

/**
 * An NVMe namespace as device-private memory behind `drm_pagemap`: ranges of a process migrate into it and back by
 * real DMA, through PRP lists over whatever addresses the mapping strategy gave the pages. No other device reaches
 * it. The commands block, so this runs with run-to-completion scheduling.
 */
export class NvmeMemory implements Disposable {
  readonly device: DmaDevice;
  readonly devPagemap: DevPagemap;
  readonly pagemap: DrmPagemap;
  readonly strategy: MapStrategy;
  /** @internal */
  readonly devmemOps: DrmPagemapDevmemOps;
  readonly #machine: Machine;
  readonly #nvme: Nvme;
  readonly #buddy: DrmBuddy;

  constructor(machine: Machine, o: NvmeMemoryOptions) {
    const pages = o.pages ?? Math.floor(o.nvme.capacityBytes / PAGE);
    if (pages * PAGE > o.nvme.capacityBytes)
      throw new RangeError(`${pages} pages exceed the namespace of ${o.nvme.capacityBytes} bytes`);
    this.#machine = machine;
    this.#nvme = o.nvme;
    this.device = o.device;
    this.strategy = o.strategy ?? mapStrategy('iova-packed');
    this.#buddy = new DrmBuddy(machine, { name: `${o.name} namespace`, pages });
    this.devPagemap = new DevPagemap(o.folios, {
      type: 'private',
      owner: this,
      pages,
      ops: drmPagemapPagemapOpsGet(o.folios),
    });
    this.pagemap = new DrmPagemap(machine, {
      name: o.name,
      device: o.device,
      devPagemap: this.devPagemap,
      ops: {
        // A namespace is no memory that a bus could address.
        deviceMap: (_dpagemap, _dev, _pfn, _order, _dir, out, i) => {
          out.addr[i] = DMA_MAPPING_ERROR;
        },
        deviceUnmap: () => undefined,
        populateMm: (_dpagemap, startPage, endPage, mm, timesliceMs) =>
          this.#populateMm(startPage, endPage, mm, timesliceMs),
      },
    });
    this.devmemOps = {
      populateDevmemPfn: (devmem, npages, pfn) => this.#pfns(devmem as NvmeDevmem, npages, pfn),
      copyToDevmem: (pages, addrs, npages, fence) => this.#copy(true, pages, addrs, npages, fence),
      copyToRam: (pages, addrs, npages, fence) => this.#copy(false, pages, addrs, npages, fence),
      devmemRelease: (devmem) => this.#buddy.free((devmem as NvmeDevmem).block),
    };
  }

  /** Room for pages, or null when the namespace is full. What is in it does not matter: it is overwritten. */
  alloc(mm: Mm, pages: number): NvmeDevmem | null {
    const block = this.#buddy.alloc(pages);
    return block === null ? null : new NvmeDevmem(this.#machine, this, mm, block);
  }

  /**
   * Migrate a range of a process into the namespace; takes the mmap lock. May sleep.
   *
   * @returns 0; -ENOSPC when the namespace is full; what `drm_pagemap_migrate_to_devmem` returns.
   */
  *migrate(mm: Mm, startPage: number, endPage: number): Task<Errno> {
    const devmem = this.alloc(mm, endPage - startPage);
    if (devmem === null) return -ENOSPC;
    yield* mm.mmapLock.downRead();
    const err = yield* drmPagemapMigrateToDevmem(devmem, mm, startPage, endPage, {
      timesliceMs: 0,
      canMigrateSamePagemap: false,
    });
    mm.mmapLock.upRead();
    return err;
  }

  /** Byte offset in the namespace of a device page. */
  offsetOf(pfn: number): number {
    if (!this.devPagemap.contains(pfn)) throw new RangeError(`pfn ${pfn} is no page of ${this.pagemap.name}`);
    return (pfn - this.devPagemap.basePfn) * PAGE;
  }

  /** The window goes; nothing may be in it any more. */
  [Symbol.dispose](): void {
    this.devPagemap.remove();
    this.pagemap.put('driver');
  }

  *#populateMm(startPage: number, endPage: number, mm: Mm, timesliceMs: number): Task<Errno> {
    const devmem = this.alloc(mm, endPage - startPage);
    if (devmem === null) return -ENOSPC;
    return yield* drmPagemapMigrateToDevmem(devmem, mm, startPage, endPage, {
      timesliceMs,
      canMigrateSamePagemap: false,
    });
  }

  #pfns(devmem: NvmeDevmem, npages: number, pfn: Float64Array): Errno {
    for (let i = 0; i < npages; i++) pfn[i] = this.devPagemap.basePfn + devmem.block.offsetPages + i;
    return 0;
  }

  *#copy(
    write: boolean,
    pages: Float64Array,
    addrs: PagemapAddrs,
    npages: number,
    fence: DmaFence | null,
  ): Task<Errno> {
    if (fence !== null) {
      const err = yield* fence.wait();
      if (err !== 0) return err;
    }
    const run = new TransferRun(this.#nvme, write);
    try {
      for (let i = 0; i < npages; i++) {
        const pfn = pages[i]!;
        if (pfn === NO_PFN || !addrs.mapped(i)) continue;
        for (let k = 0; k < 2 ** addrs.order[i]!; k++)
          run.add(this.offsetOf(pfn + k), addrs.addr[i]! + k * PAGE);
      }
      run.flush();
    } catch (error) {
      if (error instanceof NvmeError) return -EIO;
      throw error;
    }
    return 0;
  }
}

/** Joins pages that follow one another in the namespace into one command; in memory they may lie anywhere. */
class TransferRun {
  readonly #nvme: Nvme;
  readonly #write: boolean;
  readonly #mostPages: number;
  #offset = 0;
  #iovas: bigint[] = [];

  constructor(nvme: Nvme, write: boolean) {
    this.#nvme = nvme;
    this.#write = write;
    this.#mostPages = nvme.maxTransferBytes / PAGE;
  }

  add(offset: number, addrBytes: number): void {
    const next = this.#offset + this.#iovas.length * PAGE;
    if (this.#iovas.length > 0 && (offset !== next || this.#iovas.length >= this.#mostPages)) this.flush();
    if (this.#iovas.length === 0) this.#offset = offset;
    this.#iovas.push(BigInt(addrBytes));
  }

  flush(): void {
    if (this.#iovas.length === 0) return;
    this.#nvme.transfer(this.#write, this.#offset, this.#iovas, this.#iovas.length * PAGE);
    this.#iovas = [];
  }
}
