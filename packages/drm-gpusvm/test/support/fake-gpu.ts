import { type DmaDevice, type DmaDataDirection, NO_PFN } from '@gpusvm/dma-iova';
import {
  DRM_INTERCONNECT_SYSTEM,
  DrmBuddy,
  DrmPagemap,
  DrmPagemapDevmem,
  type DrmPagemapDevmemOps,
  drmPagemapMigrateToDevmem,
  drmPagemapPagemapOpsGet,
  drmPagemapPopulateMm,
  mapStrategy,
  type PagemapAddrs,
} from '@gpusvm/drm-pagemap';
import { DevPagemap, type Mm } from '@gpusvm/hmm';
import { done, ENOSPC, type Errno, type Pfn, type Task } from '@gpusvm/kernel';
import type { Host } from './host.ts';

/** Device memory by its own device, and by another one through a window; `proto` of an entry. */
const VRAM = 1;
const PEER = 2;

/** A GPU with memory of its own behind the real migration code; its memory is an array of tags. */
export class FakeGpu {
  readonly host: Host;
  readonly device: DmaDevice;
  readonly devPagemap: DevPagemap;
  readonly dpagemap: DrmPagemap;
  readonly buddy: DrmBuddy;
  readonly vram: Float64Array;
  /** Live entries. */
  mapped = 0;
  readonly #devmemOps: DrmPagemapDevmemOps;

  constructor(host: Host, owner: object, device: DmaDevice = host.device, pages = 1024) {
    const { machine, folios } = host;
    this.host = host;
    this.device = device;
    this.vram = new Float64Array(pages);
    this.buddy = new DrmBuddy(machine, { name: `${device.name} vram`, pages });
    this.devPagemap = new DevPagemap(folios, {
      type: 'private',
      owner,
      pages,
      ops: drmPagemapPagemapOpsGet(folios),
    });
    this.#devmemOps = {
      populateDevmemPfn: (devmem, npages, pfn) => {
        const { offset } = devmem as FakeDevmem;
        for (let i = 0; i < npages; i++) pfn[i] = this.devPagemap.basePfn + offset + i;
        return 0;
      },
      copyToDevmem: (from, addrs, npages) => done(this.#copy(from, addrs, npages, true)),
      copyToRam: (to, addrs, npages) => done(this.#copy(to, addrs, npages, false)),
      devmemRelease: (devmem) => (devmem as FakeDevmem).free(),
    };
    this.dpagemap = new DrmPagemap(machine, {
      name: device.name,
      device,
      devPagemap: this.devPagemap,
      ops: {
        deviceMap: (_dpagemap, dev, pfn, order, dir, out, i) => this.#map(dev, pfn, order, dir, out, i),
        deviceUnmap: () => {
          this.mapped--;
        },
        populateMm: (_dpagemap, startPage, endPage, mm) => this.#populate(startPage, endPage, mm),
      },
    });
    machine.ledger.register(() => [{ kind: 'device mapping', count: this.mapped, detail: device.name }]);
  }

  /** Move pages of the process into this memory. */
  migrate(startPage: number, endPage: number): Task<Errno> {
    return drmPagemapPopulateMm(this.dpagemap, startPage, endPage, this.host.mm, 0);
  }

  tearDown(): void {
    this.devPagemap.remove();
    this.dpagemap.put('driver');
    if (this.device !== this.host.device) this.device.destroy();
  }

  *#populate(startPage: number, endPage: number, mm: Mm): Task<Errno> {
    const block = this.buddy.alloc(endPage - startPage);
    if (block === null) return -ENOSPC;
    const devmem = new FakeDevmem(this.host.machine, {
      device: this.device,
      mm,
      ops: this.#devmemOps,
      dpagemap: this.dpagemap,
      sizeBytes: (endPage - startPage) * 4096,
      preMigrateFence: null,
      mapStrategy: mapStrategy(this.host.strategyName),
    });
    devmem.offset = block.offsetPages;
    devmem.free = () => this.buddy.free(block);
    this.vram.fill(0, block.offsetPages, block.offsetPages + block.pages);
    const details = { timesliceMs: 0, canMigrateSamePagemap: false };
    return yield* drmPagemapMigrateToDevmem(devmem, mm, startPage, endPage, details);
  }

  #map(dev: DmaDevice, pfn: Pfn, order: number, dir: DmaDataDirection, out: PagemapAddrs, i: number): void {
    this.mapped++;
    out.set(i, (pfn - this.devPagemap.basePfn) * 4096, dev === this.device ? VRAM : PEER, order, dir);
  }

  #copy(pages: Float64Array, addrs: PagemapAddrs, npages: number, toDevmem: boolean): Errno {
    for (let i = 0; i < npages; i++) {
      if (pages[i] === NO_PFN || !addrs.mapped(i)) continue;
      if (addrs.proto[i] !== DRM_INTERCONNECT_SYSTEM)
        throw new Error('copies between devices are not part of this fake');
      for (let k = 0; k < 1 << addrs.order[i]!; k++) {
        const at = pages[i]! - this.devPagemap.basePfn + k;
        const addr = addrs.addr[i]! + k * 4096;
        if (toDevmem) this.vram[at] = this.device.readTag(addr);
        else if (!this.device.writeTag(addr, this.vram[at]!)) throw new Error(`copy to ${addr}: DMA fault`);
      }
    }
    return 0;
  }
}

class FakeDevmem extends DrmPagemapDevmem {
  offset = 0;
  free: () => void = () => undefined;
}
