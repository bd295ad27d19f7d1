import { EINVAL, EPERM } from '@gpusvm/kernel';
import { EBADF, EBADFD, ENOTTY } from '../errno.ts';
import type { Call } from '../uapi/call.ts';
import { decode, encode, offsetOfEnd, sizeOf } from '../uapi/layout.ts';
import * as uapi from '../uapi/vfio.ts';
import { attach, detach, pagingOf } from './sim-attach.ts';
import { simDma } from './sim-dma.ts';
import { SimIommufd } from './sim-iommufd.ts';
import { SimBar } from './sim-memory.ts';
import type { SimContext } from './sim-context.ts';
import type { SimDeviceObject, SimFields, SimFile, SimHost, SimHwptObject } from './sim-objects.ts';
import { isBusMaster, type SimBus, type SimPciFunction, writeConfig } from './sim-pci.ts';
import type { AccessBits, SysMemory } from '../sys.ts';

/** A region's offset in the descriptor is its index times this (VFIO_PCI_OFFSET_SHIFT). */
const REGION = 2 ** 40;
const IRQ_EVENTFD = 1;
const IRQ_INTX_FLAGS = 1 | 2 | 4;
const IRQ_NORESIZE = 8;

/** What the machine around a device decides. */
export interface SimVfioHost extends SimHost {
  /** The IOMMU remaps interrupts, or the user said that this does not matter. */
  readonly interruptsAreSafe: boolean;
  /** Another descriptor has the function bound. */
  isInUse(fn: SimPciFunction): boolean;
  /** Functions of an IOMMU group. */
  functionsOfGroup(group: number): readonly SimPciFunction[];
  nowMs(): number;
  /** Count an interrupt on an eventfd. */
  signal(fd: number): void;
}

type Handler = (file: SimVfioFile, fields: SimFields) => number;

/** Calls of a bound device. */
const CALLS: readonly { readonly call: Call; readonly run: Handler }[] = [
  { call: uapi.VFIO_DEVICE_GET_INFO, run: (file, f) => file.getInfo(f) },
  { call: uapi.VFIO_DEVICE_GET_REGION_INFO, run: (file, f) => file.getRegionInfo(f) },
  { call: uapi.VFIO_DEVICE_GET_IRQ_INFO, run: (file, f) => file.getIrqInfo(f) },
  { call: uapi.VFIO_DEVICE_SET_IRQS, run: (file, f) => file.setIrqs(f) },
  { call: uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT, run: (file, f) => file.attach(f) },
  { call: uapi.VFIO_DEVICE_DETACH_IOMMUFD_PT, run: (file, f) => file.detach(f) },
];

/** One open /dev/vfio/devices/vfioN. */
export class SimVfioFile implements SimFile, SimBus {
  readonly function: SimPciFunction;
  readonly #host: SimVfioHost;
  #ctx: SimContext | null = null;
  #device: SimDeviceObject | null = null;
  /** Eventfds by interrupt index and vector. */
  readonly #eventfds = new Map<number, number[]>();

  constructor(host: SimVfioHost, fn: SimPciFunction) {
    this.#host = host;
    this.function = fn;
  }

  ioctl(request: number, argument: Uint8Array): number {
    if (request === uapi.VFIO_DEVICE_BIND_IOMMUFD.request) {
      return simple(uapi.VFIO_DEVICE_BIND_IOMMUFD, argument, (f) => this.#bind(f));
    }
    if (this.#device === null) return -EINVAL;
    if (request === uapi.VFIO_DEVICE_RESET_REQUEST) {
      this.function.model.reset();
      return 0;
    }
    const entry = CALLS.find(({ call }) => call.request === request);
    return entry === undefined ? -ENOTTY : simple(entry.call, argument, (f) => entry.run(this, f));
  }

  read(into: Uint8Array, offsetBytes: number | null): number {
    return this.#transfer(into, offsetBytes, false);
  }

  write(from: Uint8Array, offsetBytes: number | null): number {
    return this.#transfer(from, offsetBytes, true);
  }

  isReadable(): boolean {
    return false;
  }

  /** mmap of a BAR. */
  map(lengthBytes: number, offsetBytes: number): SysMemory | number {
    const bar = this.function.model.bars[Math.floor(offsetBytes / REGION)] ?? null;
    if (this.#device === null || bar === null || offsetBytes % REGION !== 0 || lengthBytes > bar.lengthBytes)
      return -EINVAL;
    return new SimBar(bar);
  }

  /** The device is reset and leaves its page table. */
  close(): void {
    if (this.#device === null || this.#ctx === null) return;
    this.function.model.reset();
    this.function.config[4]! &= ~4;
    this.#ctx.removeDevice(this.#device);
    this.#device = null;
  }

  get isBound(): boolean {
    return this.#device !== null;
  }

  dmaRead(iova: bigint, into: Uint8Array): boolean {
    if (isBusMaster(this.function)) return simDma(this.#hwpt(), iova, into, false);
    into.fill(0);
    return false;
  }

  dmaWrite(iova: bigint, from: Uint8Array): boolean {
    return isBusMaster(this.function) && simDma(this.#hwpt(), iova, from, true);
  }

  interrupt(vector: number): void {
    for (const index of [uapi.VFIO_PCI_MSI_IRQ_INDEX, uapi.VFIO_PCI_MSIX_IRQ_INDEX]) {
      const fd = this.#eventfds.get(index)?.[vector];
      if (fd !== undefined && fd >= 0) this.#host.signal(fd);
    }
  }

  nowMs(): number {
    return this.#host.nowMs();
  }

  /** @internal */
  getInfo(f: SimFields): number {
    f['flags'] = uapi.VFIO_DEVICE_FLAGS_PCI | uapi.VFIO_DEVICE_FLAGS_RESET;
    f['num_regions'] = uapi.VFIO_PCI_NUM_REGIONS;
    f['num_irqs'] = uapi.VFIO_PCI_NUM_IRQS;
    return 0;
  }

  /** @internal */
  getRegionInfo(f: SimFields): number {
    const index = Number(f['index']);
    if (index >= uapi.VFIO_PCI_NUM_REGIONS) return -EINVAL;
    const isConfig = index === uapi.VFIO_PCI_CONFIG_REGION_INDEX;
    const bar = this.function.model.bars[index] ?? null;
    const access = uapi.VFIO_REGION_INFO_FLAG_READ | uapi.VFIO_REGION_INFO_FLAG_WRITE;
    f['flags'] = isConfig ? access : bar === null ? 0 : access | uapi.VFIO_REGION_INFO_FLAG_MMAP;
    f['size'] = BigInt(isConfig ? this.function.config.length : (bar?.lengthBytes ?? 0));
    f['offset'] = BigInt(index) * BigInt(REGION);
    return 0;
  }

  /** @internal */
  getIrqInfo(f: SimFields): number {
    const index = Number(f['index']);
    if (index >= uapi.VFIO_PCI_NUM_IRQS) return -EINVAL;
    f['count'] = this.#vectors(index);
    f['flags'] = index === uapi.VFIO_PCI_INTX_IRQ_INDEX ? IRQ_INTX_FLAGS : IRQ_EVENTFD | IRQ_NORESIZE;
    return 0;
  }

  /** @internal One eventfd, or none to switch the interrupt off. */
  setIrqs(f: SimFields): number {
    const index = Number(f['index']);
    const [start, count] = [Number(f['start']), Number(f['count'])];
    const max = index < uapi.VFIO_PCI_NUM_IRQS ? this.#vectors(index) : 0;
    if (start >= max || start + count > max) return -EINVAL;
    if ((Number(f['flags']) & uapi.VFIO_IRQ_SET_ACTION_TRIGGER) === 0) return -EINVAL;
    if ((Number(f['flags']) & uapi.VFIO_IRQ_SET_DATA_EVENTFD) === 0) {
      if (count === 0) this.#eventfds.delete(index);
      return count === 0 ? 0 : -EINVAL;
    }
    if (count !== 1 || Number(f['argsz']) < sizeOf(uapi.VFIO_DEVICE_SET_IRQS.fields)) return -EINVAL;
    const fds = this.#eventfds.get(index) ?? [];
    fds[start] = Number(f['data']);
    this.#eventfds.set(index, fds);
    return 0;
  }

  /** @internal */
  attach(f: SimFields): number {
    const pasid = this.#pasidOf(f, uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT);
    if (pasid < 0) return pasid;
    const id = attach(this.#ctx!, this.#device!, Number(f['pt_id']), pasid);
    if (id < 0) return id;
    f['pt_id'] = id;
    return 0;
  }

  /** @internal */
  detach(f: SimFields): number {
    const pasid = this.#pasidOf(f, uapi.VFIO_DEVICE_DETACH_IOMMUFD_PT);
    if (pasid < 0) return pasid;
    detach(this.#ctx!, this.#device!, pasid);
    return 0;
  }

  /** 0 for the device itself, or -EINVAL. The field counts with its flag only, which 6.12 does not know. */
  #pasidOf(f: SimFields, call: Call): number {
    const known = this.#host.kernel.virtualization ? uapi.VFIO_DEVICE_ATTACH_PASID : 0;
    const flags = Number(f['flags']);
    if ((flags & ~known) !== 0) return -EINVAL;
    if (flags === 0) return 0;
    return Number(f['argsz']) < offsetOfEnd(call.fields, 'pasid') ? -EINVAL : Number(f['pasid']);
  }

  #bind(f: SimFields): number {
    const fd = Number(f['iommufd']);
    if (fd < 0 || f['flags'] !== 0 || this.#device !== null) return -EINVAL;
    const file = this.#host.fileOf(fd);
    if (file === null) return -EBADF;
    if (!(file instanceof SimIommufd)) return -EBADFD;
    if (this.#host.isInUse(this.function)) return -EINVAL;
    const group = this.#host.functionsOfGroup(this.function.iommuGroup);
    if (!this.#host.interruptsAreSafe) return -EPERM;
    if (group.some(({ driver }) => driver !== null && driver !== 'vfio-pci')) return -EPERM;
    this.#ctx = file.context;
    this.#device = this.#ctx.addDevice(null);
    this.function.model.connect(this);
    f['out_devid'] = this.#device.id;
    return 0;
  }

  #hwpt(): SimHwptObject | null {
    const table = this.#device?.hwpt ?? null;
    return table === null ? null : pagingOf(table);
  }

  #vectors(index: number): number {
    if (index === uapi.VFIO_PCI_INTX_IRQ_INDEX) return 1;
    if (index === uapi.VFIO_PCI_MSI_IRQ_INDEX) return this.function.model.msiVectors;
    return index === uapi.VFIO_PCI_MSIX_IRQ_INDEX ? this.function.model.msixVectors : 0;
  }

  #transfer(bytes: Uint8Array, offsetBytes: number | null, write: boolean): number {
    if (this.#device === null || offsetBytes === null) return -EINVAL;
    const index = Math.floor(offsetBytes / REGION);
    const offset = offsetBytes - index * REGION;
    if (index === uapi.VFIO_PCI_CONFIG_REGION_INDEX) {
      if (offset + bytes.length > this.function.config.length) return -EINVAL;
      if (write) writeConfig(this.function, offset, bytes);
      else bytes.set(this.function.config.subarray(offset, offset + bytes.length));
      return bytes.length;
    }
    const bar = this.function.model.bars[index] ?? null;
    const bits = (bytes.length * 8) as AccessBits;
    if (bar === null || ![8, 16, 32].includes(bits) || offset + bytes.length > bar.lengthBytes)
      return -EINVAL;
    const view = new DataView(new ArrayBuffer(8));
    if (write) {
      new Uint8Array(view.buffer).set(bytes);
      bar.write(offset, bits, view.getBigUint64(0, true));
    } else {
      view.setBigUint64(0, bar.read(offset, bits), true);
      bytes.set(new Uint8Array(view.buffer, 0, bytes.length));
    }
    return bytes.length;
  }
}

/** VFIO's way with structures: argsz must reach the last field; what lies behind it is not looked at. */
function simple(call: Call, argument: Uint8Array, run: (fields: SimFields) => number): number {
  const argsz = new DataView(argument.buffer, argument.byteOffset).getUint32(0, true);
  if (argsz < offsetOfEnd(call.fields, call.last)) return -EINVAL;
  const fields = decode(call.fields, argument.subarray(0, argsz)) as SimFields;
  const result = run(fields);
  if (result < 0) return result;
  const out = new Uint8Array(sizeOf(call.fields));
  encode(call.fields, fields, out);
  argument.set(out.subarray(0, Math.min(argsz, out.length)));
  return result;
}
