import type { DmaDevice, PhysicalMemory } from '@gpusvm/dma-iova';
import { DrmBuddy, type MapStrategy, type MapStrategyName, mapStrategy } from '@gpusvm/drm-pagemap';
import type { FolioTable } from '@gpusvm/hmm';
import {
  ENOMEM,
  type Errno,
  type Machine,
  RwSem,
  type Task,
  type Tracepoint,
  WorkQueue,
} from '@gpusvm/kernel';
import { evictVram, XeBoManager } from './bo-evict.ts';
import { XE_TIMING, type XeBehaviour, type XeTiming, xeBehaviour } from './config.ts';
import { type XeCounters, xeCounters } from './counters.ts';
import { type XeDeviceTrace, xeDeviceTrace } from './device-trace.ts';
import { XeGpu } from './gpu.ts';
import { XeGpuTlb } from './gpu-tlb.ts';
import { XeMigrate } from './migrate.ts';
import { pagefaultRingEntries, XePagefaultQueues } from './pagefault-queue.ts';
import { PtPool } from './pt.ts';
import { type XeSvmOps, xeSvmOps } from './svm-invalidate.ts';
import { XeTlbInval } from './tlb-inval.ts';
import {
  XE_BO_EVICT,
  XE_SVM_BIND,
  XE_SVM_INVALIDATE,
  XE_SVM_ZAP,
  type XeBoEvictEvent,
  type XeSvmBindEvent,
  type XeSvmInvalidateEvent,
  type XeSvmZapEvent,
} from './trace.ts';
import type { XeVm } from './vm.ts';
import { VramRegion } from './vram.ts';
import { XePagemap } from './xe-pagemap.ts';

/** How a device is made. */
export interface XeDeviceOptions {
  readonly memory: PhysicalMemory;
  readonly folios: FolioTable;
  /** The PCI function: IOMMU mode and DMA mask. */
  readonly device: DmaDevice;
  /** Device memory in pages. */
  readonly vramPages: number;
  /** How system pages get DMA addresses, for migrations and for ranges: by name, or an implementation. */
  readonly mapStrategy: MapStrategyName | MapStrategy;
  /** Migrate faulting ranges to device memory; default true. */
  readonly devmem?: boolean;
  /** Sizes of ranges in pages, descending; default 2M, 64K, 4K. */
  readonly chunkPages?: readonly number[];
  /** Pages that one notifier covers; default 512 MiB. */
  readonly notifierPages?: number;
  /** Compact 64K page tables (graphics 12.50 and later); default true. */
  readonly compact64k?: boolean;
  /** Device memory can only be mapped in pieces of 64K (DG2, PVC); default false. */
  readonly needs64k?: boolean;
  /** The hardware has device atomics on system memory; default false. */
  readonly deviceAtomicsOnSystem?: boolean;
  /** Page attribute table index of leaves; default 0. */
  readonly patIndex?: number;
  /** 2M regions in the GPU's TLB, a power of two; default 64. */
  readonly tlbSlots?: number;
  /** Execution units, which size the fault rings; default 160. */
  readonly eus?: number;
  /** Hardware engines, which size the fault rings; default 20. */
  readonly engines?: number;
  /** Device times to override. */
  readonly timing?: Partial<XeTiming>;
  /** Driver behaviour to override; default by the machine's kernel profile. */
  readonly behaviour?: Partial<XeBehaviour>;
}

/** Settings of a device with every default filled in. */
export interface XeSettings {
  readonly chunkPages: readonly number[];
  readonly notifierPages: number;
  readonly compact64k: boolean;
  readonly needs64k: boolean;
  readonly deviceAtomicsOnSystem: boolean;
  readonly patIndex: number;
}

/** Tracepoints shared by the files of a device. */
export interface XeTrace {
  readonly bind: Tracepoint<XeSvmBindEvent>;
  readonly zap: Tracepoint<XeSvmZapEvent>;
  readonly invalidate: Tracepoint<XeSvmInvalidateEvent>;
  readonly boEvict: Tracepoint<XeBoEvictEvent>;
}

const DEFAULT_CHUNK_PAGES: readonly number[] = [512, 16, 1];
const DEFAULT_NOTIFIER_PAGES = 131_072;

function settings(o: XeDeviceOptions): XeSettings {
  const { chunkPages = DEFAULT_CHUNK_PAGES, notifierPages = DEFAULT_NOTIFIER_PAGES, patIndex = 0 } = o;
  const { compact64k = true, needs64k = false, deviceAtomicsOnSystem = false } = o;
  return { chunkPages, notifierPages, compact64k, needs64k, deviceAtomicsOnSystem, patIndex };
}

/**
 * A discrete Xe GPU with one tile (struct xe_device): memory, copy engine, page tables, TLB, fault queues,
 * execution side.
 */
export class XeDevice {
  readonly machine: Machine;
  readonly memory: PhysicalMemory;
  readonly folios: FolioTable;
  readonly device: DmaDevice;
  readonly options: XeSettings;
  readonly behaviour: XeBehaviour;
  /** How system pages get DMA addresses. */
  readonly strategy: MapStrategy;
  readonly counters: XeCounters;
  readonly trace: XeTrace;
  readonly deviceTrace: XeDeviceTrace;
  readonly pt: PtPool;
  readonly vram: VramRegion;
  readonly buddy: DrmBuddy;
  readonly tlb: XeGpuTlb;
  readonly tlbInval: XeTlbInval;
  readonly migrate: XeMigrate;
  readonly bos: XeBoManager;
  /** Owner of device pages for HMM: the group of devices that reach each other, here one device. */
  readonly peerOwner: object = {};
  /** Device memory as pages; null when ranges stay in system memory. */
  readonly pagemap: XePagemap | null;
  readonly pagefaults: XePagefaultQueues;
  readonly gpu: XeGpu;
  /** Steps of an invalidation, replaceable one by one. */
  readonly ops: XeSvmOps;
  /** usm.lock: protects the table of address spaces. */
  readonly usmLock: RwSem;
  /** driver_migrate_lock: one migration alone after a refused one. */
  readonly migrateLock: RwSem;
  readonly garbageQueue: WorkQueue;
  /** The device was removed. */
  gone = false;
  readonly #vms = new Map<number, XeVm>();
  #nextAsid = 1;
  #liveVms = 0;

  /** @throws Error when there is no memory for the tables of the copy engine. */
  constructor(machine: Machine, o: XeDeviceOptions) {
    this.machine = machine;
    this.memory = o.memory;
    this.folios = o.folios;
    this.device = o.device;
    this.options = settings(o);
    this.behaviour = { ...xeBehaviour(machine.profile), ...o.behaviour };
    this.strategy = typeof o.mapStrategy === 'string' ? mapStrategy(o.mapStrategy) : o.mapStrategy;
    this.counters = xeCounters(machine);
    const { trace } = machine;
    this.trace = {
      bind: trace.point(XE_SVM_BIND),
      zap: trace.point(XE_SVM_ZAP),
      invalidate: trace.point(XE_SVM_INVALIDATE),
      boEvict: trace.point(XE_BO_EVICT),
    };
    this.deviceTrace = xeDeviceTrace(trace);
    const timing: XeTiming = { ...XE_TIMING, ...o.timing };
    this.pt = new PtPool(machine, this.counters);
    this.vram = new VramRegion(o.vramPages);
    this.buddy = new DrmBuddy(machine, { pages: o.vramPages });
    this.tlb = new XeGpuTlb(o.tlbSlots ?? 64, this.counters);
    this.tlbInval = new XeTlbInval(machine, this.tlb, this.counters, timing.tlbFlushNs);
    this.migrate = new XeMigrate(machine, o.device, this.pt, this.vram, this.counters, timing);
    this.bos = new XeBoManager(machine, this, this.buddy);
    this.pagemap = (o.devmem ?? true) ? new XePagemap(this) : null;
    this.pagefaults = new XePagefaultQueues(
      machine,
      this,
      pagefaultRingEntries(o.eus ?? 160, o.engines ?? 20),
    );
    this.gpu = new XeGpu(this);
    this.ops = xeSvmOps();
    this.usmLock = new RwSem(machine, 'xe usm');
    this.migrateLock = new RwSem(machine, 'xe driver_migrate');
    this.garbageQueue = new WorkQueue(machine, 'xe svm garbage');
    machine.ledger.register(() => [{ kind: 'xe vm', count: this.#liveVms, detail: `asid ${this.#asids()}` }]);
  }

  /** The address space with an ASID; usm.lock held. */
  vmOfAsid(asid: number): XeVm | null {
    return this.#vms.get(asid) ?? null;
  }

  /** @internal give the next ASID to a VM; usm.lock held for writing. */
  registerVm(make: (asid: number) => XeVm | null): XeVm | Errno {
    const vm = make(this.#nextAsid);
    if (vm === null) return -ENOMEM;
    this.#vms.set(this.#nextAsid++, vm);
    this.#liveVms++;
    return vm;
  }

  /** @internal the ASID of a closed VM is free; usm.lock held for writing. */
  eraseAsid(vm: XeVm): void {
    this.#vms.delete(vm.asid);
  }

  /** @internal last reference of a VM: its tables go. */
  vmReleased(vm: XeVm): void {
    this.pt.freeTree(vm.root);
    this.#liveVms--;
  }

  /**
   * Remove the device (xe_device_remove): every buffer goes back to system memory, then device memory stops
   * existing. Sleeps. Every VM must be closed.
   *
   * @throws Error when VMs are open; what the pagemap throws when pages are still referenced.
   */
  *destroy(): Task<void> {
    if (this.#vms.size > 0) throw new Error(`device removed with open address spaces: asid ${this.#asids()}`);
    yield* this.pagefaults.flush();
    this.gone = true;
    if (this.pagemap !== null) {
      yield* evictVram(this, this.vram.pages);
      yield* this.bos.flush();
      this.pagemap.ref.put('driver');
      this.pagemap.devPagemap.remove();
    }
    yield* this.migrate.destroy();
  }

  #asids(): string {
    return [...this.#vms.keys()].join(', ');
  }
}
