import { type DmaDevice, DMA_MAPPING_ERROR, type DmaDataDirection } from '@gpusvm/dma-iova';
import {
  DrmPagemap,
  DrmPagemapDevmem,
  type DrmPagemapDevmemOps,
  type DrmPagemapOps,
  drmPagemapEvictToRam,
  drmPagemapMigrateToDevmem,
  drmPagemapPagemapOpsGet,
  type PagemapAddrs,
} from '@gpusvm/drm-pagemap';
import { DevPagemap, type Mm } from '@gpusvm/hmm';
import { ENODEV, type Errno, NotImplemented, PAGE_SIZE, type Pfn, type Task } from '@gpusvm/kernel';
import type { XeBo } from './bo.ts';
import { XE_INTERCONNECT_VRAM } from './res-cursor.ts';
import { xeSvmCopy } from './svm-copy.ts';
import type { XeDevice } from './xe-device.ts';

/** A device memory allocation with the buffer behind it (the kernel embeds the first in the second). */
export class XeDevmem extends DrmPagemapDevmem {
  readonly bo: XeBo;

  constructor(xe: XeDevice, pagemap: XePagemap, bo: XeBo, mm: Mm) {
    super(xe.machine, {
      device: xe.device,
      mm,
      ops: pagemap.devmemOps,
      dpagemap: pagemap,
      sizeBytes: bo.pages * PAGE_SIZE,
      preMigrateFence: bo.clearFence.signalled ? null : bo.clearFence,
      mapStrategy: xe.strategy,
    });
    this.bo = bo;
  }
}

/** Device memory of a device as struct pages (struct xe_pagemap). */
export class XePagemap extends DrmPagemap {
  readonly devmemOps: DrmPagemapDevmemOps;

  constructor(xe: XeDevice) {
    const { machine, folios, device, peerOwner, vram } = xe;
    const devPagemap = new DevPagemap(folios, {
      type: 'private',
      owner: peerOwner,
      pages: vram.pages,
      tellsCopies: true,
      ops: drmPagemapPagemapOpsGet(folios),
    });
    super(machine, { name: `xe ${device.name}`, devPagemap, device, ops: pagemapOps(xe) });
    vram.attach(devPagemap);
    this.devmemOps = devmemOps(xe);
  }
}

function pagemapOps(xe: XeDevice): DrmPagemapOps {
  return {
    deviceMap(
      _dpagemap: DrmPagemap,
      dev: DmaDevice,
      pfn: Pfn,
      order: number,
      dir: DmaDataDirection,
      out: PagemapAddrs,
      i: number,
    ): void {
      if (dev !== xe.device)
        throw new NotImplemented(`peer access of ${dev.name} to memory of ${xe.device.name}`);
      const frame = xe.vram.pfnToDpaFrame(pfn);
      out.addr[i] = frame > 0 ? frame * PAGE_SIZE : DMA_MAPPING_ERROR;
      out.proto[i] = XE_INTERCONNECT_VRAM;
      out.order[i] = order;
      out.dir[i] = dir;
    },
    // A device physical address needs no mapping, so there is nothing to undo.
    deviceUnmap(): void {},
    populateMm: (_dpagemap, startPage, endPage, mm, timesliceMs) =>
      xePopulateMm(xe, startPage, endPage, mm, timesliceMs),
  };
}

/**
 * Allocate device memory for a range and move it there (xe_drm_pagemap_populate_mm). mmap lock held for reading.
 *
 * @returns 0; -ENODEV after the device is gone; -ENOSPC, -E2BIG, -ENOMEM from the allocation; what
 * drm_pagemap_migrate_to_devmem returns.
 */
function* xePopulateMm(
  xe: XeDevice,
  startPage: number,
  endPage: number,
  mm: Mm,
  timesliceMs: number,
): Task<Errno> {
  const { pagemap } = xe;
  if (xe.gone || pagemap === null) return -ENODEV;
  const bo = yield* xe.bos.create(endPage - startPage);
  if (typeof bo === 'number') return bo;
  const devmem = new XeDevmem(xe, pagemap, bo, mm);
  bo.ref.get('devmem');
  bo.evictToRam = () => drmPagemapEvictToRam(devmem);
  const err = yield* drmPagemapMigrateToDevmem(devmem, mm, startPage, endPage, {
    timesliceMs,
    canMigrateSamePagemap: false,
  });
  bo.resv.unlock();
  bo.ref.put('creator');
  return err;
}

function boOf(devmem: DrmPagemapDevmem): XeBo {
  if (!(devmem instanceof XeDevmem)) throw new TypeError('a device memory allocation of another driver');
  return devmem.bo;
}

function devmemOps(xe: XeDevice): DrmPagemapDevmemOps {
  return {
    populateDevmemPfn(devmem: DrmPagemapDevmem, npages: number, pfn: Float64Array): Errno {
      const { block } = boOf(devmem);
      if (block === null) return -ENODEV;
      const first = xe.vram.offsetToPfn(block.offsetPages);
      for (let i = 0; i < npages; i++) pfn[i] = first + i;
      return 0;
    },
    copyToDevmem: (pages, addrs, npages, fence) => xeSvmCopy(xe, pages, addrs, npages, true, fence),
    copyToRam: (pages, addrs, npages, fence) => xeSvmCopy(xe, pages, addrs, npages, false, fence),
    devmemRelease(devmem: DrmPagemapDevmem): void {
      // The last page may go away in any context: the buffer is put by a worker.
      xe.bos.putAsync(boOf(devmem));
    },
  };
}
