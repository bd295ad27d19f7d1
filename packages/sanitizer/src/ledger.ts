import { type DmaDevice, dmaCounters, type PhysicalMemory } from '@gpusvm/dma-iova';
import type { Machine } from '@gpusvm/kernel';
import type { CallSites } from './call-sites.ts';
import type { FindingsLog } from './findings.ts';
import { LinkRow } from './events/link-row.ts';
import { DmaOp } from './op.ts';
import type { Check, DmaRule, Hook } from './rule.ts';
import { DeviceShadow } from './shadow/device-shadow.ts';
import { FRAME_FREE } from './shadow/frames.ts';
import { FreshMap } from './shadow/fresh-map.ts';
import { PRESENT, STALE } from './shadow/slot-flags.ts';
import { changeFlags } from './shadow/slot-ranges.ts';

const HOOKS: readonly Hook[] = [
  'alloc',
  'link',
  'sync',
  'unlink',
  'free',
  'map',
  'unmap',
  'unmapList',
  'mapSegment',
  'mapList',
  'freeCoherent',
  'leftMapped',
  'syncSingle',
  'owed',
  'unbounce',
  'iommuMap',
  'iommuUnmap',
  'tableFree',
  'access',
  'fault',
  'pageFree',
  'release',
  'end',
];

/** Something that is entered when the next event comes. */
export interface PutOff {
  readonly open: boolean;
  endRow(): void;
  close(): void;
}

/** The shadow of all devices of a machine, and the rules that look at it. */
export class DmaLedger {
  readonly machine: Machine;
  readonly log: FindingsLog;
  readonly sites: CallSites;
  readonly op: DmaOp;
  /** A page that was just mapped and is not entered yet. */
  readonly fresh: FreshMap;
  /** Links in a row that are not entered yet. */
  readonly row: LinkRow;
  /** Plain links in a row, which are counted when the row ends. */
  series: PutOff = { open: false, endRow() {}, close() {} };
  /** The device whose newest unmap was invalidated, while its slots still say STALE. */
  #cleaned: DeviceShadow | null = null;
  readonly #checks: Record<Hook, readonly Check[]>;
  /** Nothing was mapped before the sanitizer listened. */
  readonly #fromTheStart: boolean;
  readonly #owners = new Map<string, number>();
  readonly #memories = new Set<PhysicalMemory>();
  #last: DeviceShadow;
  #lastDevice: DmaDevice | null = null;

  constructor(machine: Machine, log: FindingsLog, rules: readonly DmaRule[], sites: CallSites) {
    this.machine = machine;
    this.log = log;
    this.sites = sites;
    const nobody = new DeviceShadow('', false);
    this.op = new DmaOp(nobody);
    this.fresh = new FreshMap(nobody);
    this.row = new LinkRow(machine.scheduler, log.frames, sites);
    this.#last = nobody;
    const entries = HOOKS.map((hook): [Hook, readonly Check[]] => [
      hook,
      rules.flatMap((rule) => rule.checks[hook] ?? []),
    ]);
    this.#checks = Object.fromEntries(entries) as Record<Hook, readonly Check[]>;
    const dma = dmaCounters(machine);
    this.#fromTheStart =
      dma.get('callMap') + dma.get('callLink') + dma.get('iovaAlloc') + dma.get('pteW') === 0;
    if (!this.#fromTheStart) log.strangers = true;
  }

  /** Shadow of the device that a call names, with everything entered that came before. */
  enter(dev: DmaDevice): DeviceShadow {
    this.settle();
    const device = this.shadowOf(dev);
    if (device.unmapPage >= 0) this.#checkUnmap(device);
    if (device.bounces.owed !== 0) this.#claim(device);
    return device;
  }

  /** Shadow of the device that a call names. */
  shadowOf(dev: DmaDevice): DeviceShadow {
    if (dev === this.#lastDevice) return this.#last;
    const shadow = this.shadow(dev.name);
    this.watch(shadow, dev);
    this.#lastDevice = dev;
    return shadow;
  }

  /** Learn the configuration of a device, and which pages of its memory are free. */
  watch(shadow: DeviceShadow, dev: DmaDevice): void {
    shadow.watch(dev);
    const { memory } = dev;
    if (this.#memories.has(memory)) return;
    this.#memories.add(memory);
    this.settle();
    memory.forEachFree?.((pfn, pages) => this.log.frames.setState(pfn, pages, FRAME_FREE));
  }

  /** Shadow of a device by its name, as page tables know it; made on first sight. */
  shadow(name: string): DeviceShadow {
    if (this.#last.name === name) return this.#last;
    let shadow = this.log.byName.get(name);
    if (shadow === undefined) {
      shadow = new DeviceShadow(name, this.#fromTheStart);
      this.log.byName.set(name, shadow);
    }
    this.#last = shadow;
    this.#lastDevice = shadow.device;
    return shadow;
  }

  /** Enter what was put off until the next event. */
  settle(): void {
    if (this.series.open) this.series.close();
    if (this.fresh.live) this.fresh.settle(this.log.frames);
    if (this.#cleaned !== null) this.#clean(this.#cleaned);
  }

  /** Slots wait for their flags. */
  get putsOff(): boolean {
    return this.#cleaned !== null;
  }

  /** As {@link settle}, for the page-table half of a link: it does not end a row of them. */
  settleLate(): void {
    if (this.fresh.live || this.#cleaned !== null) this.settle();
  }

  /** The slots of a device's newest unmap are invalidated; their flags follow with the next event. */
  putOffCleaning(device: DeviceShadow): void {
    this.#cleaned = device;
    device.cleanCleared = true;
  }

  /** The flags were set otherwise. */
  cleaningDone(device: DeviceShadow): void {
    this.#cleaned = null;
    device.cleanCleared = false;
    device.cleared.firstPage = -1;
  }

  /** Let the rules of a hook look at {@link op}. */
  run(hook: Hook): void {
    const checks = this.#checks[hook];
    for (let i = 0; i < checks.length; i++) checks[i]!(this.op, this.log);
  }

  declareBuffer(owner: string, physBytes: number, sizeBytes: number): void {
    const id = this.#owners.get(owner) ?? this.#owners.size + 1;
    this.#owners.set(owner, id);
    const first = Math.floor(physBytes / 4096);
    this.settle();
    this.log.frames.declared = true;
    this.log.frames.buffer.set(first, Math.ceil((physBytes + sizeBytes) / 4096) - first, id);
  }

  /** A device goes. */
  release(dev: DmaDevice): void {
    const device = this.enter(dev);
    this.#judge(device);
    this.#forget(device.name);
  }

  /** A device is torn down: what its domain does from now on concerns nobody. */
  destroy(dev: DmaDevice): void {
    this.release(dev);
    this.shadow(dev.name).gone = true;
  }

  /** A device is made; it may have the name of one that went. */
  create(dev: DmaDevice): void {
    this.settle();
    if (this.log.byName.get(dev.name)?.gone === true) this.#forget(dev.name);
    this.shadowOf(dev);
  }

  /** The machine goes. */
  end(): void {
    this.settle();
    for (const device of this.log.byName.values()) this.#judge(device);
    this.#about(this.op.device);
    this.run('end');
  }

  /** The page-table change of an unmap did not come before the next call. */
  #checkUnmap(device: DeviceShadow): void {
    const { unmapPage, unmapPages } = device;
    device.unmapPage = -1;
    if ((device.slots.anyFlags(unmapPage, unmapPages) & PRESENT) === 0) return;
    this.#about(device);
    this.op.firstPage = unmapPage;
    this.op.pages = unmapPages;
    this.run('leftMapped');
  }

  /** The bounce slots of a mapping that ended were not given back before the next call. */
  #claim(device: DeviceShadow): void {
    this.#about(device);
    this.run('owed');
    device.bounces.owed = 0;
  }

  #judge(device: DeviceShadow): void {
    if (device.unmapPage >= 0) this.#checkUnmap(device);
    if (device.bounces.owed !== 0) this.#claim(device);
    this.#about(device);
    this.log.leakedRanges += rangesOf(device);
    this.run('release');
    if (device.device !== null) this.log.watched.add(device.device);
    if (!device.complete || (device.device === null && device.sawMap)) this.log.strangers = true;
  }

  #forget(name: string): void {
    this.log.byName.delete(name);
    const nobody = new DeviceShadow('', false);
    this.#last = nobody;
    this.#lastDevice = null;
    this.fresh.forget(nobody);
  }

  #clean(device: DeviceShadow): void {
    const { slots, cleared } = device;
    changeFlags(slots, cleared.firstPage, cleared.pages, STALE, 0);
    this.cleaningDone(device);
  }

  #about(device: DeviceShadow): void {
    this.op.device = device;
    this.op.reservation = 0;
    this.op.mapping = null;
    this.op.firstPage = 0;
    this.op.pages = 0;
  }
}

/** Ranges of IOVA space that a device holds, as far as the ledger knows. */
function rangesOf(device: DeviceShadow): number {
  if (!device.translated) return 0;
  let ranges = device.coherent.size;
  device.reservations.forEach(() => ranges++);
  for (const list of [...device.lists.values(), ...device.lostLists]) if (list.pages > 0) ranges++;
  device.forEachMapping(({ kind }) => {
    if (kind === 'page') ranges++;
  });
  return ranges;
}
