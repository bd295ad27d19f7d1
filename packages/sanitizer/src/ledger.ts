import {
  DMA_ACCESS,
  DMA_FAULT,
  DMA_IOVA_ALLOC,
  DMA_IOVA_FREE,
  DMA_IOVA_LINK,
  DMA_IOVA_SYNC,
  DMA_IOVA_UNLINK,
  DMA_MAP_PHYS,
  DMA_UNMAP_PHYS,
  dmaCounters,
  IOMMU_MAP,
  IOMMU_UNMAP,
  IOTLB_INVALIDATE,
  PAGE_ALLOC,
  PAGE_FREE,
  SWIOTLB_BOUNCED,
} from '@gpusvm/dma-iova';
import type { Machine, TracepointDef } from '@gpusvm/kernel';
import { callSite } from './call-site.ts';
import { ClassicEvents } from './events/classic-events.ts';
import { HardwareEvents } from './events/hardware-events.ts';
import { IommuEvents } from './events/iommu-events.ts';
import { IovaEvents } from './events/iova-events.ts';
import type { FindingsLog } from './findings.ts';
import { DmaOp } from './op.ts';
import type { Check, DmaRule, Hook } from './rule.ts';
import { DeviceShadow } from './shadow/device-shadow.ts';

const HOOKS: readonly Hook[] = [
  'alloc',
  'link',
  'sync',
  'unlink',
  'free',
  'map',
  'unmap',
  'iommuMap',
  'iommuUnmap',
  'invalidate',
  'access',
  'fault',
  'pageFree',
  'release',
  'end',
];

/** Turns the events of the DMA layer into operations, lets the rules look, then brings the shadow up to date. */
export class DmaLedger {
  readonly machine: Machine;
  readonly log: FindingsLog;
  readonly op: DmaOp;
  /** Remember call sites of mappings. */
  readonly captureSites: boolean;
  readonly #checks: Record<Hook, readonly Check[]>;
  readonly #stops: (() => void)[] = [];
  /** Nothing was mapped before the sanitizer listened. */
  readonly #fromTheStart: boolean;
  readonly #owners = new Map<string, number>();
  #last: DeviceShadow | undefined = undefined;

  constructor(machine: Machine, log: FindingsLog, rules: readonly DmaRule[], captureSites: boolean) {
    this.machine = machine;
    this.log = log;
    this.captureSites = captureSites;
    this.op = new DmaOp(new DeviceShadow('', false));
    const entries = HOOKS.map((hook): [Hook, readonly Check[]] => [
      hook,
      rules.flatMap((rule) => rule.checks[hook] ?? []),
    ]);
    this.#checks = Object.fromEntries(entries) as Record<Hook, readonly Check[]>;
    const dma = dmaCounters(machine);
    this.#fromTheStart =
      dma.get('callMap') + dma.get('callLink') + dma.get('iovaAlloc') + dma.get('pteW') === 0;
  }

  /** Begin to listen. */
  listen(): void {
    const iova = new IovaEvents(this);
    const classic = new ClassicEvents(this);
    const iommu = new IommuEvents(this);
    const hardware = new HardwareEvents(this);
    this.#on(DMA_IOVA_ALLOC, (e) => iova.alloc(e));
    this.#on(DMA_IOVA_LINK, (e) => iova.link(e));
    this.#on(DMA_IOVA_SYNC, (e) => iova.sync(e));
    this.#on(DMA_IOVA_UNLINK, (e) => iova.unlink(e));
    this.#on(DMA_IOVA_FREE, (e) => iova.free(e));
    this.#on(DMA_MAP_PHYS, (e) => classic.map(e));
    this.#on(DMA_UNMAP_PHYS, (e) => classic.unmap(e));
    this.#on(SWIOTLB_BOUNCED, (e) => classic.bounce(e));
    this.#on(IOMMU_MAP, (e) => iommu.map(e));
    this.#on(IOMMU_UNMAP, (e) => iommu.unmap(e));
    this.#on(IOTLB_INVALIDATE, (e) => iommu.invalidate(e));
    this.#on(DMA_ACCESS, (e) => hardware.access(e));
    this.#on(DMA_FAULT, (e) => hardware.fault(e));
    this.#on(PAGE_ALLOC, (e) => hardware.pageAlloc(e));
    this.#on(PAGE_FREE, (e) => hardware.pageFree(e));
  }

  /** Stop listening. */
  stop(): void {
    for (const stop of this.#stops.splice(0)) stop();
  }

  /** Shadow of a device, made on first sight. */
  shadow(name: string): DeviceShadow {
    if (this.#last !== undefined && this.#last.name === name) return this.#last;
    let shadow = this.log.byName.get(name);
    if (shadow === undefined) {
      shadow = new DeviceShadow(name, this.#fromTheStart);
      this.log.byName.set(name, shadow);
    }
    this.#last = shadow;
    return shadow;
  }

  /** Let the rules of a hook look at {@link op}. */
  run(hook: Hook): void {
    const checks = this.#checks[hook];
    for (let i = 0; i < checks.length; i++) checks[i]!(this.op, this.log);
  }

  /** Call site of the API call under way, when they are captured. */
  site(): string {
    return this.captureSites ? callSite().site : '';
  }

  declareBuffer(owner: string, physBytes: number, sizeBytes: number): void {
    const id = this.#owners.get(owner) ?? this.#owners.size + 1;
    this.#owners.set(owner, id);
    const first = Math.floor(physBytes / 4096);
    this.log.frames.declared = true;
    this.log.frames.buffer.set(first, Math.ceil((physBytes + sizeBytes) / 4096) - first, id);
  }

  /** A device goes. */
  release(name: string): void {
    const device = this.shadow(name);
    this.#about(device);
    this.run('release');
    this.#settle(device);
    this.log.byName.delete(name);
    this.#last = undefined;
  }

  /** The machine goes. */
  end(): void {
    for (const device of this.log.byName.values()) {
      this.#about(device);
      this.run('release');
      this.#settle(device);
    }
    this.#about(this.op.device);
    this.run('end');
    this.stop();
  }

  #settle(device: DeviceShadow): void {
    if (device.device !== null) this.log.watched.add(device.device);
    if (!device.complete || (device.device === null && device.sawMap)) this.log.strangers = true;
  }

  #about(device: DeviceShadow): void {
    this.op.device = device;
    this.op.reservation = 0;
    this.op.mapping = 0;
    this.op.firstPage = 0;
    this.op.pages = 0;
  }

  #on<T, A extends readonly unknown[]>(def: TracepointDef<T, A>, listener: (event: T) => void): void {
    this.#stops.push(this.machine.trace.on(def, listener));
  }
}
