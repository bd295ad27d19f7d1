import { DMA_MAPPING_ERROR, DmaDevice, type IommuMode, NO_TAG, TagMemory } from '@gpusvm/dma-iova';
import { DrmPagemap, DrmPagemapDevmem, type MapStrategyName, mapStrategy, Zdd } from '@gpusvm/drm-pagemap';
import { DevPagemap, FolioTable, Mm, type VmaOptions, zoneDevicePageInit } from '@gpusvm/hmm';
import {
  done,
  type KernelProfile,
  type KernelProfileName,
  Machine,
  type MachineOptions,
  type Pfn,
  type Task,
} from '@gpusvm/kernel';
import type { DrmGpusvmCtx } from '../../src/index.ts';

export const CTX: DrmGpusvmCtx = {
  devicePrivatePageOwner: null,
  checkPagesThreshold: 0,
  timesliceMs: 0,
  inNotifier: false,
  readOnly: false,
  devmemPossible: false,
  devmemOnly: false,
  allowMixed: false,
};

export const RW: VmaOptions = { read: true, write: true };

export interface HostOptions {
  readonly profile?: KernelProfileName | KernelProfile;
  readonly seed?: number;
  readonly iommu?: IommuMode;
  readonly strategy?: MapStrategyName;
  readonly scheduling?: MachineOptions['strategy'];
  readonly memoryPages?: number;
}

/** A machine with one process and one device that maps. */
export class Host {
  readonly machine: Machine;
  readonly memory: TagMemory;
  readonly folios: FolioTable;
  readonly mm: Mm;
  readonly device: DmaDevice;
  readonly strategyName: MapStrategyName;

  constructor(o: HostOptions = {}) {
    const { profile = 'linux-7.3', seed = 1, scheduling } = o;
    this.machine = new Machine({
      profile,
      seed,
      ...(scheduling === undefined ? {} : { strategy: scheduling }),
    });
    this.memory = new TagMemory(this.machine, { pages: o.memoryPages ?? 8192 });
    this.folios = new FolioTable(this.machine, this.memory);
    this.mm = new Mm(this.machine, this.folios, { name: 'process' });
    this.device = new DmaDevice(this.machine, this.memory, { name: 'gpu', iommu: o.iommu ?? 'strict' });
    this.strategyName = o.strategy ?? 'iova-packed';
  }

  run<T>(task: Task<T>): T {
    return this.machine.run(task);
  }

  count(name: string): number {
    return this.machine.counters.snapshot().get(name)!;
  }

  /** Map anonymous memory and write tag 100 + page to the listed pages. */
  mmap(startPage: number, pages: number, written: Iterable<number> = [], o: Partial<VmaOptions> = {}): void {
    this.run(this.mm.mmap(startPage, pages, { ...RW, ...o }));
    this.write(written);
  }

  write(pages: Iterable<number>): void {
    for (const page of pages) this.run(this.mm.cpuWrite(page, 100 + page));
  }

  /** What is alive of this layer and below, apart from memory that the process still uses. */
  live(...kinds: string[]): string[] {
    return this.machine.ledger
      .live()
      .filter(({ kind }) => kinds.length === 0 || kinds.includes(kind))
      .map(({ kind, count, detail }) => `${kind} ${count} ${detail}`);
  }

  /** Mappings and reservations that the device holds. */
  get mappings(): string[] {
    return this.live(
      'io page table leaf',
      'iova reservation',
      'swiotlb slot',
      'gpusvm pages mapping',
      'device mapping',
    );
  }

  /** The process and the device go; what is left is a leak. */
  tearDown(): string[] {
    if (this.mm.users > 0) this.run(this.mm.exit());
    this.machine.drain();
    this.device.destroy();
    return this.live();
  }
}

/** Device memory whose pages exist without a migration having put them anywhere; for the map loop alone. */
export class Vram {
  readonly host: Host;
  readonly owner: object;
  readonly devPagemap: DevPagemap;
  readonly dpagemap: DrmPagemap;
  /** Live deviceMap results. */
  mapped = 0;
  readonly #zdds: Zdd[] = [];
  readonly #heads: Pfn[] = [];

  constructor(host: Host, name: string, pages = 1024) {
    const { machine, folios } = host;
    this.host = host;
    this.owner = { name };
    this.devPagemap = new DevPagemap(folios, {
      type: 'private',
      owner: this.owner,
      pages,
      ops: {
        migrateToRam: () => done(0),
        folioFree: (head) => {
          const zdd = folios.zoneDeviceData(head);
          if (zdd instanceof Zdd) zdd.putFolio();
        },
      },
    });
    const site = machine.faultInjection.site('fake.device_map');
    this.dpagemap = new DrmPagemap(machine, {
      name,
      device: host.device,
      devPagemap: this.devPagemap,
      ops: {
        deviceMap: (_dpagemap, _dev, pfn, order, dir, out, i) => {
          if (site.shouldFail()) {
            out.addr[i] = DMA_MAPPING_ERROR;
            return;
          }
          this.mapped++;
          out.set(i, (pfn - this.devPagemap.basePfn) * 4096, 1, order, dir);
        },
        deviceUnmap: (_dpagemap, _dev, addrs, i) => {
          if (addrs.proto[i] !== 1) throw new Error('deviceUnmap of an entry it did not make');
          this.mapped--;
        },
        populateMm: () => done(0),
      },
    });
    machine.ledger.register(() => [{ kind: 'device mapping', count: this.mapped, detail: name }]);
  }

  /** An allocation of its own. */
  newZdd(): Zdd {
    const { host } = this;
    const devmem = new DrmPagemapDevmem(host.machine, {
      device: host.device,
      mm: host.mm,
      ops: {
        populateDevmemPfn: () => 0,
        copyToDevmem: () => done(0),
        copyToRam: () => done(0),
      },
      dpagemap: this.dpagemap,
      sizeBytes: 4096,
      preMigrateFence: null,
      mapStrategy: mapStrategy('iova-packed'),
    });
    const zdd = new Zdd(devmem);
    this.#zdds.push(zdd);
    return zdd;
  }

  /** Make a folio; data other than a zdd stands for a foreign driver's page. */
  folio(offset: number, order: number, zdd: object | null): Pfn {
    const pfn = this.devPagemap.basePfn + offset;
    zoneDevicePageInit(this.host.folios, pfn, this.devPagemap, order, zdd);
    if (zdd instanceof Zdd) zdd.getFolio();
    this.host.folios.unlock(pfn);
    this.#heads.push(pfn);
    return pfn;
  }

  tearDown(): void {
    for (const head of this.#heads) this.host.folios.put(head);
    for (const zdd of this.#zdds) zdd.putMigration();
    this.devPagemap.remove();
    this.dpagemap.put('driver');
  }
}

/** What a device reads at the start of every page behind the entries. */
export function readThrough(
  device: DmaDevice,
  addrs: { addr: Float64Array; order: Uint8Array; count: number },
): number[] {
  const tags: number[] = [];
  for (let j = 0; j < addrs.count; j++) {
    for (let k = 0; k < 1 << addrs.order[j]!; k++) tags.push(device.readTag(addrs.addr[j]! + k * 4096));
  }
  return tags;
}

export { NO_TAG };
