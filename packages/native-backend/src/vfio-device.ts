import { ENOENT } from '@gpusvm/kernel';
import type { Attachment } from './attachment.ts';
import { invoke } from './invoke.ts';
import type { Hwpt } from './hwpt.ts';
import { type HwInfo, readHwInfo } from './hw-info.ts';
import type { Ioas } from './ioas.ts';
import type { Iommufd } from './iommufd.ts';
import { check, KernelError } from './kernel-error.ts';
import type { NestedHwpt } from './nested-hwpt.ts';
import { PasidAttachment } from './pasid-attachment.ts';
import type { SysMemory } from './sys.ts';
import { toNumber } from './u64.ts';
import * as uapi from './uapi/vfio.ts';

/** A region of a device: a BAR, the ROM or the configuration space. */
export interface VfioRegion {
  readonly sizeBytes: number;
  /** Position in the device's descriptor. */
  readonly offsetBytes: number;
  readonly canMmap: boolean;
}

/** What a device can be attached to. */
export type AttachTarget = Ioas | Hwpt | NestedHwpt;

const COMMAND = 4;
const MEMORY_SPACE_AND_BUS_MASTER = 6;

/**
 * A PCI function in user space: bound to an iommufd, attached to an address space, its registers mapped. The
 * function has to belong to vfio-pci already; see `bindToVfio`.
 */
export class VfioDevice implements Disposable {
  readonly iommufd: Iommufd;
  readonly bdf: string;
  readonly fd: number;
  /** Id of the device in the iommufd. */
  readonly id: number;
  readonly #mappings: SysMemory[] = [];
  readonly #pasids = new Map<number, PasidAttachment>();
  #attachedTo: AttachTarget | null = null;
  #open = true;

  /**
   * Open the character device of a function and bind it.
   *
   * @param bdf - `0000:00:04.0`.
   * @throws KernelError `open device`: ENOENT when vfio-pci does not have it, EACCES; VFIO_DEVICE_BIND_IOMMUFD: EPERM.
   */
  static open(iommufd: Iommufd, bdf: string): VfioDevice {
    const { sys } = iommufd;
    const names = sys.list(`/sys/bus/pci/devices/${bdf}/vfio-dev`);
    const name = typeof names === 'number' ? undefined : names.find((n) => n.startsWith('vfio'));
    if (name === undefined) throw new KernelError('open device', -ENOENT, { bdf });
    const fd = check('open device', sys.open(`/dev/vfio/devices/${name}`), { bdf });
    const values = { iommufd: iommufd.fd };
    const { result, out } = invoke(sys, fd, uapi.VFIO_DEVICE_BIND_IOMMUFD, values);
    if (result < 0) {
      sys.close(fd);
      throw new KernelError(uapi.VFIO_DEVICE_BIND_IOMMUFD.name, result, { bdf, ...values });
    }
    return new VfioDevice(iommufd, bdf, fd, out.out_devid);
  }

  private constructor(iommufd: Iommufd, bdf: string, fd: number, id: number) {
    this.iommufd = iommufd;
    this.bdf = bdf;
    this.fd = fd;
    this.id = id;
    iommufd.owned.add(this);
  }

  /** What the kernel tells about the device's IOMMU. @throws KernelError */
  hwInfo(): HwInfo {
    return readHwInfo(this.iommufd, this.id);
  }

  /**
   * Let the device see an address space. Attached already: the translation is replaced atomically.
   *
   * @returns id of the page table.
   * @throws KernelError EFAULT, EADDRINUSE, ENOENT; the device keeps what it had.
   */
  attach(target: AttachTarget): number {
    const values = { pt_id: target.id };
    const { sys } = this.iommufd;
    const { result, out } = invoke(sys, this.fd, uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT, values);
    check(uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT.name, result, values);
    this.#forget();
    this.#attachedTo = target;
    attachmentsOf(target).add(this);
    return out.pt_id;
  }

  /**
   * Let requests of the device with a PASID see an address space (since 6.15). Attached already: replaced atomically.
   *
   * @param pasid - not 0, which is the device itself.
   * @param target - a page table made with `pasid`; the device itself has to have such a one too, or none.
   * @throws KernelError EINVAL for another page table or a PASID that the device does not have; EINVAL before 6.15.
   */
  attachPasid(pasid: number, target: AttachTarget): PasidAttachment {
    if (pasid === 0) throw new RangeError('PASID 0 is the device itself: use attach');
    const values = { flags: uapi.VFIO_DEVICE_ATTACH_PASID, pt_id: target.id, pasid };
    const { result } = invoke(this.iommufd.sys, this.fd, uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT, values);
    check(uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT.name, result, values);
    this.#pasids.get(pasid)?.forget();
    const attachment = new PasidAttachment(this, pasid, attachmentsOf(target));
    this.#pasids.set(pasid, attachment);
    return attachment;
  }

  /** Block the requests with a PASID. Nothing happens when it is not attached. */
  detachPasid(pasid: number): void {
    const values = { flags: uapi.VFIO_DEVICE_DETACH_PASID, pasid };
    const { result } = invoke(this.iommufd.sys, this.fd, uapi.VFIO_DEVICE_DETACH_IOMMUFD_PT, values);
    check(uapi.VFIO_DEVICE_DETACH_IOMMUFD_PT.name, result, values);
    this.#pasids.get(pasid)?.forget();
    this.#pasids.delete(pasid);
  }

  /** Block all DMA of the device. Nothing happens when it is not attached. */
  detach(): void {
    const { sys } = this.iommufd;
    const { result } = invoke(sys, this.fd, uapi.VFIO_DEVICE_DETACH_IOMMUFD_PT, {});
    check(uapi.VFIO_DEVICE_DETACH_IOMMUFD_PT.name, result, {});
    this.#forget();
  }

  /** Size and place of a region. @param index - BAR 0 to 5; 7 is the configuration space. */
  region(index: number): VfioRegion {
    const { result, out } = invoke(this.iommufd.sys, this.fd, uapi.VFIO_DEVICE_GET_REGION_INFO, { index });
    check(uapi.VFIO_DEVICE_GET_REGION_INFO.name, result, { index });
    return {
      sizeBytes: toNumber(out.size, 'size'),
      offsetBytes: toNumber(out.offset, 'offset'),
      canMmap: (out.flags & uapi.VFIO_REGION_INFO_FLAG_MMAP) !== 0,
    };
  }

  /** Map the registers of a BAR; unmapped with the device. */
  mapBar(index: number): SysMemory {
    const { sizeBytes, offsetBytes, canMmap } = this.region(index);
    if (!canMmap) throw new TypeError(`BAR ${index} of ${this.bdf} cannot be mapped`);
    const memory = this.iommufd.sys.mmap({ lengthBytes: sizeBytes, fd: this.fd, offsetBytes });
    if (typeof memory === 'number') throw new KernelError('mmap', memory, { bar: index, sizeBytes });
    this.#mappings.push(memory);
    return memory;
  }

  /** Read 1, 2 or 4 bytes of the configuration space. */
  readConfig(offset: number, bytes: 1 | 2 | 4): number {
    const buffer = new Uint8Array(4);
    const at = this.region(uapi.VFIO_PCI_CONFIG_REGION_INDEX).offsetBytes + offset;
    check('read config', this.iommufd.sys.read(this.fd, buffer.subarray(0, bytes), at), { offset, bytes });
    return new DataView(buffer.buffer).getUint32(0, true);
  }

  /** Write 1, 2 or 4 bytes of the configuration space. */
  writeConfig(offset: number, bytes: 1 | 2 | 4, value: number): void {
    const buffer = new Uint8Array(4);
    new DataView(buffer.buffer).setUint32(0, value, true);
    const at = this.region(uapi.VFIO_PCI_CONFIG_REGION_INDEX).offsetBytes + offset;
    check('write config', this.iommufd.sys.write(this.fd, buffer.subarray(0, bytes), at), { offset, bytes });
  }

  /** Allow the device to decode its BARs and to issue DMA. */
  enableBusMaster(): void {
    this.writeConfig(COMMAND, 2, this.readConfig(COMMAND, 2) | MEMORY_SPACE_AND_BUS_MASTER);
  }

  /** Vectors of an interrupt kind. @param index - VFIO_PCI_MSI_IRQ_INDEX and so on. */
  irqCount(index: number): number {
    const { result, out } = invoke(this.iommufd.sys, this.fd, uapi.VFIO_DEVICE_GET_IRQ_INFO, { index });
    check(uapi.VFIO_DEVICE_GET_IRQ_INFO.name, result, { index });
    return out.count;
  }

  /** Count interrupts of one vector on an eventfd. @throws KernelError EINVAL when there is no such vector. */
  setIrq(index: number, vector: number, eventfd: number): void {
    const values = {
      flags: uapi.VFIO_IRQ_SET_DATA_EVENTFD | uapi.VFIO_IRQ_SET_ACTION_TRIGGER,
      index,
      start: vector,
      count: 1,
      data: eventfd,
    };
    const { result } = invoke(this.iommufd.sys, this.fd, uapi.VFIO_DEVICE_SET_IRQS, values);
    check(uapi.VFIO_DEVICE_SET_IRQS.name, result, values);
  }

  /** Function level reset. @throws KernelError when the device has none. */
  reset(): void {
    const argument = new Uint8Array(4);
    const result = this.iommufd.sys.ioctl(this.fd, uapi.VFIO_DEVICE_RESET_REQUEST, argument);
    check('VFIO_DEVICE_RESET', result, { bdf: this.bdf });
  }

  /** Stop DMA, unmap the registers, close. The kernel resets the device. */
  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    for (const attachment of this.#pasids.values()) attachment.detach();
    this.detach();
    for (const memory of this.#mappings) memory.unmap();
    check('close', this.iommufd.sys.close(this.fd), { fd: this.fd });
    this.iommufd.owned.delete(this);
  }

  #forget(): void {
    if (this.#attachedTo !== null) attachmentsOf(this.#attachedTo).delete(this);
    this.#attachedTo = null;
  }
}

/** Where a target keeps what has to end before it goes. */
function attachmentsOf(target: AttachTarget): Set<Attachment> | Set<Disposable | Attachment> {
  return 'devices' in target ? target.devices : target.dependents;
}
