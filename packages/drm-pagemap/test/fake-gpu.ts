import {
  DMA_MAPPING_ERROR,
  type DmaDataDirection,
  DmaDevice,
  type IommuMode,
  NO_PFN,
  NO_TAG,
  TagMemory,
} from '@gpusvm/dma-iova';
import { DevPagemap, FolioTable, Mm } from '@gpusvm/hmm';
import {
  type DmaFence,
  EIO,
  ENOSPC,
  type Errno,
  type FaultSite,
  type KernelProfile,
  type KernelProfileName,
  Machine,
  type MachineOptions,
  type Pfn,
  schedPoint,
  type Task,
} from '@gpusvm/kernel';
import type { DrmBuddyBlock } from '../src/buddy-blocks.ts';
import { DrmBuddy } from '../src/buddy.ts';
import { DrmPagemapDevmem, type DrmPagemapDevmemOps } from '../src/devmem.ts';
import { mapStrategy } from '../src/map-strategy/registry.ts';
import type { MapStrategyName } from '../src/map-strategy/strategy.ts';
import { type DrmPagemapMigrateDetails, drmPagemapMigrateToDevmem } from '../src/migrate-to-devmem.ts';
import { DRM_INTERCONNECT_SYSTEM, type PagemapAddrs } from '../src/pagemap-addr.ts';
import { drmPagemapPagemapOpsGet } from '../src/pagemap-ops.ts';
import { DrmPagemap, type DrmPagemapOps } from '../src/pagemap.ts';

const COPY = schedPoint('fake gpu: copy');
const PROTO_PEER = 2;
const BAR_BYTES = 2 ** 40;

export interface HostOptions {
  readonly profile?: KernelProfileName | KernelProfile;
  readonly seed?: number;
  readonly iommu?: IommuMode;
  readonly strategy?: MapStrategyName;
  readonly scheduling?: MachineOptions['strategy'];
  readonly memoryPages?: number;
}

/** A machine with one process and any number of fake GPUs whose memory is an array of tags. */
export class Host {
  readonly machine: Machine;
  readonly memory: TagMemory;
  readonly folios: FolioTable;
  readonly mm: Mm;
  readonly gpus: FakeGpu[] = [];
  readonly options: HostOptions;
  /** All GPUs are one owner group. */
  readonly owner: object = {};

  constructor(o: HostOptions = {}) {
    this.options = o;
    const { profile = 'linux-7.3', seed = 1, scheduling } = o;
    this.machine = new Machine({
      profile,
      seed,
      ...(scheduling === undefined ? {} : { strategy: scheduling }),
    });
    this.memory = new TagMemory(this.machine, { pages: o.memoryPages ?? 2048 });
    this.folios = new FolioTable(this.machine, this.memory);
    this.mm = new Mm(this.machine, this.folios, { name: 'process' });
  }

  gpu(name = 'gpu', vramPages = 1024): FakeGpu {
    const gpu = new FakeGpu(this, name, vramPages);
    this.gpus.push(gpu);
    return gpu;
  }

  run<T>(task: Task<T>): T {
    return this.machine.run(task);
  }

  /** Anonymous memory; the listed pages are written with tag 100 + page. */
  mmap(startPage: number, pages: number, written: readonly number[], hugepage = false): void {
    const { mm } = this;
    this.run(mm.mmap(startPage, pages, { read: true, write: true, hugepage }));
    for (const page of written) this.run(mm.cpuWrite(page, 100 + page));
  }

  /** Process and devices go; what is left is a leak. */
  tearDown(): void {
    this.run(this.mm.exit());
    this.machine.drain();
    for (const gpu of this.gpus) gpu.tearDown();
    this.machine.drain();
  }
}

export class FakeDevmem extends DrmPagemapDevmem {
  readonly gpu: FakeGpu;
  readonly block: DrmBuddyBlock;

  constructor(gpu: FakeGpu, mm: Mm, block: DrmBuddyBlock, fence: DmaFence | null) {
    super(gpu.host.machine, {
      device: gpu.device,
      mm,
      ops: gpu.devmemOps,
      dpagemap: gpu.pagemap,
      sizeBytes: block.pages * 4096,
      preMigrateFence: fence,
      mapStrategy: mapStrategy(gpu.host.options.strategy ?? 'iova-packed'),
    });
    this.gpu = gpu;
    this.block = block;
  }
}

/** One copied page, as the tests check it. */
export interface Copied {
  readonly by: string;
  readonly pfn: Pfn;
  readonly direction: 'to-devmem' | 'to-ram';
}

export class FakeGpu {
  readonly host: Host;
  readonly name: string;
  readonly device: DmaDevice;
  readonly buddy: DrmBuddy;
  readonly vram: Float64Array;
  readonly pagemap: DrmPagemap;
  readonly devPagemap: DevPagemap;
  readonly devmemOps: DrmPagemapDevmemOps;
  /** Peer mappings of this GPU's memory that are live. */
  livePeerMappings = 0;
  readonly copies: Copied[] = [];
  /** The driver lets go of its memory the moment it is released; tests can look at what was. */
  readonly released: FakeDevmem[] = [];
  destroyed = 0;
  readonly #copySite: FaultSite;
  readonly #mapSite: FaultSite;
  readonly #populateSite: FaultSite;

  constructor(host: Host, name: string, vramPages: number) {
    this.host = host;
    this.name = name;
    const { machine, memory, folios } = host;
    this.device = new DmaDevice(machine, memory, { name, iommu: host.options.iommu ?? 'strict' });
    this.buddy = new DrmBuddy(machine, { name: `${name} vram`, pages: vramPages });
    this.vram = new Float64Array(vramPages);
    const { faultInjection } = machine;
    this.#copySite = faultInjection.site('fake.copy');
    this.#mapSite = faultInjection.site('fake.device_map');
    this.#populateSite = faultInjection.site('fake.populate');
    this.devPagemap = new DevPagemap(folios, {
      type: 'private',
      owner: host.owner,
      pages: vramPages,
      ops: drmPagemapPagemapOpsGet(folios),
    });
    this.pagemap = new DrmPagemap(machine, {
      name,
      device: this.device,
      devPagemap: this.devPagemap,
      ops: this.#pagemapOps(),
    });
    this.devmemOps = {
      populateDevmemPfn: (devmem, npages, pfn) => this.#populate(devmem as FakeDevmem, npages, pfn),
      copyToDevmem: (pages, addrs, npages, fence) => this.#copy(pages, addrs, npages, fence, 'to-devmem'),
      copyToRam: (pages, addrs, npages, fence) => this.#copy(pages, addrs, npages, fence, 'to-ram'),
      devmemRelease: (devmem) => this.#release(devmem as FakeDevmem),
    };
    host.machine.ledger.register(() => [
      { kind: 'peer mapping', count: this.livePeerMappings, detail: name },
    ]);
  }

  /** An allocation whose memory was cleared, or null. */
  alloc(pages: number, fence: DmaFence | null = null): FakeDevmem | null {
    const block = this.buddy.alloc(pages);
    if (block === null) return null;
    this.vram.fill(0, block.offsetPages, block.offsetPages + block.pages);
    return new FakeDevmem(this, this.host.mm, block, fence);
  }

  /** Allocate and migrate, with the mmap lock held for reading. */
  *migrate(
    startPage: number,
    endPage: number,
    details: Partial<DrmPagemapMigrateDetails> = {},
    devmem: FakeDevmem | null = this.alloc(endPage - startPage),
  ): Task<Errno> {
    if (devmem === null) return -ENOSPC;
    const { mm } = this.host;
    yield* mm.mmapLock.downRead();
    const err = yield* drmPagemapMigrateToDevmem(devmem, mm, startPage, endPage, {
      timesliceMs: 0,
      canMigrateSamePagemap: false,
      ...details,
    });
    mm.mmapLock.upRead();
    return err;
  }

  /** Content of a device page. */
  tag(pfn: Pfn): number {
    return this.vram[pfn - this.devPagemap.basePfn]!;
  }

  tearDown(): void {
    this.devPagemap.remove();
    this.pagemap.put('driver');
    this.device.destroy();
  }

  #pagemapOps(): DrmPagemapOps {
    return {
      deviceMap: (_dpagemap, dev, pfn, order, dir, out, i) => this.#deviceMap(dev, pfn, order, dir, out, i),
      deviceUnmap: () => {
        this.livePeerMappings--;
      },
      populateMm: (_dpagemap, startPage, endPage, mm, timesliceMs) => {
        mm.mmapLock.assertHeld();
        return this.#populateMm(startPage, endPage, mm, timesliceMs);
      },
      destroy: () => {
        this.destroyed++;
      },
    };
  }

  *#populateMm(startPage: number, endPage: number, mm: Mm, timesliceMs: number): Task<Errno> {
    const devmem = this.alloc(endPage - startPage);
    if (devmem === null) return -ENOSPC;
    return yield* drmPagemapMigrateToDevmem(devmem, mm, startPage, endPage, {
      timesliceMs,
      canMigrateSamePagemap: false,
    });
  }

  #populate(devmem: FakeDevmem, npages: number, pfn: Float64Array): Errno {
    if (this.#populateSite.shouldFail()) return -EIO;
    for (let i = 0; i < npages; i++) pfn[i] = this.devPagemap.basePfn + devmem.block.offsetPages + i;
    return 0;
  }

  #release(devmem: FakeDevmem): void {
    this.released.push(devmem);
    this.buddy.free(devmem.block);
  }

  #deviceMap(
    dev: DmaDevice,
    pfn: Pfn,
    order: number,
    dir: DmaDataDirection,
    out: PagemapAddrs,
    i: number,
  ): void {
    if (this.#mapSite.shouldFail()) {
      out.addr[i] = DMA_MAPPING_ERROR;
      return;
    }
    if (dev.machine !== this.host.machine) throw new Error('device of another machine');
    this.livePeerMappings++;
    const bar = BAR_BYTES * (1 + this.host.gpus.indexOf(this));
    out.set(i, bar + (pfn - this.devPagemap.basePfn) * 4096, PROTO_PEER, order, dir);
  }

  *#copy(
    pages: Float64Array,
    addrs: PagemapAddrs,
    npages: number,
    fence: DmaFence | null,
    direction: 'to-devmem' | 'to-ram',
  ): Task<Errno> {
    if (fence !== null) {
      const err = yield* fence.wait();
      if (err !== 0) return err;
    }
    if (this.host.machine.scheduler.preemptive) yield COPY;
    const half = this.#copySite.shouldFail() ? Math.ceil(npages / 2) : npages;
    for (let i = 0; i < half; i++) {
      if (pages[i] === NO_PFN || !addrs.mapped(i)) continue;
      for (let k = 0; k < 1 << addrs.order[i]!; k++) this.#copyPage(pages[i]! + k, addrs, i, k, direction);
    }
    return half === npages ? 0 : -EIO;
  }

  #copyPage(pfn: Pfn, addrs: PagemapAddrs, i: number, k: number, direction: 'to-devmem' | 'to-ram'): void {
    if (!this.devPagemap.contains(pfn))
      throw new Error(`${this.name} copies pfn ${pfn}, which is not its own`);
    const page = pfn - this.devPagemap.basePfn;
    const addr = addrs.addr[i]! + k * 4096;
    this.copies.push({ by: this.name, pfn, direction });
    if (direction === 'to-devmem') {
      const tag = this.device.readTag(addr);
      if (tag === NO_TAG) throw new Error(`${this.name} read through ${addr.toString(16)}: DMA fault`);
      this.vram[page] = tag;
    } else if (addrs.proto[i] === DRM_INTERCONNECT_SYSTEM) {
      if (!this.device.writeTag(addr, this.vram[page]!))
        throw new Error(`${this.name} wrote through ${addr.toString(16)}: DMA fault`);
    } else {
      const peer = this.host.gpus[Math.floor(addr / BAR_BYTES) - 1]!;
      if (peer.livePeerMappings === 0)
        throw new Error(`${this.name} wrote to ${peer.name}, which is not mapped`);
      peer.vram[(addr % BAR_BYTES) / 4096] = this.vram[page]!;
    }
  }
}
