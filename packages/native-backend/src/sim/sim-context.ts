import { unpinAccess } from './sim-access.ts';
import { destroyHwpt, destroyNested, detach } from './sim-attach.ts';
import {
  type AnySimObject,
  type SimAccessObject,
  type SimDeviceObject,
  type SimHost,
  type SimIoasObject,
  SimObjects,
} from './sim-objects.ts';
import { destroyVdevice, destroyVeventq } from './sim-viommu.ts';
import type { SimHwQueueObject, SimMockDevice, SimViommuMmap } from './sim-virtual-objects.ts';

/** What one open /dev/iommu owns (struct iommufd_ctx). Bound devices hold it beyond the close of its descriptor. */
export class SimContext {
  readonly host: SimHost;
  readonly objects: SimObjects = new SimObjects();
  /** IOMMU_OPTION_RLIMIT_MODE. */
  perProcessAccounting = false;
  /** What the container calls of VFIO mean (IOMMU_VFIO_IOAS). */
  vfioIoas: SimIoasObject | null = null;
  #closed = false;
  #holders = 0;

  constructor(host: SimHost) {
    this.host = host;
  }

  /**
   * A device is bound: users cannot destroy its object.
   *
   * @param mock - the selftest's device, which does not keep the context beyond the close of its descriptor; null for
   *   a PCI function, which does.
   */
  addDevice(mock: SimMockDevice | null): SimDeviceObject {
    const device: SimDeviceObject = {
      kind: 'device',
      id: this.objects.nextId(),
      users: 1,
      hwpt: null,
      pasids: new Map(),
      vdevice: null,
      mock,
    };
    this.objects.add(device);
    if (mock === null) this.hold();
    return device;
  }

  /** The device leaves: detached, and its object is gone. Its place in a guest's IOMMU goes with it, but not the id. */
  removeDevice(device: SimDeviceObject): void {
    for (const pasid of [0, ...device.pasids.keys()]) detach(this, device, pasid);
    const { vdevice } = device;
    if (vdevice !== null) {
      this.objects.remove(vdevice.id);
      destroyVdevice(vdevice);
      this.objects.reserve(vdevice.id);
    }
    device.users = 0;
    this.objects.remove(device.id);
    if (device.mock === null) this.letGo();
  }

  /** A bound device or an event queue's descriptor keeps the context. */
  hold(): void {
    this.#holders++;
  }

  /** Undo {@link hold}. */
  letGo(): void {
    this.#holders--;
    if (this.#closed) this.#destroyAll();
  }

  close(): void {
    this.#closed = true;
    this.#destroyAll();
  }

  /** What a type leaves to do when its object has left the table. */
  destroy(object: AnySimObject): void {
    if (object.kind === 'hwpt') destroyHwpt(object);
    else if (object.kind === 'nested') destroyNested(object);
    else if (object.kind === 'selftest') this.removeDevice(object.device);
    else if (object.kind === 'viommu') object.hwpt.users--;
    else if (object.kind === 'vdevice') destroyVdevice(object);
    else if (object.kind === 'veventq') destroyVeventq(object);
    else if (object.kind === 'hwqueue') this.#destroyHwQueue(object);
    else if (object.kind === 'ioas') {
      object.ioas.unmap(0n, 2n ** 64n - 1n);
      if (this.vfioIoas === object) this.vfioIoas = null;
    } else if (object.kind === 'access') {
      object.parent.users--;
      object.parent.ioas.removeAccess(object.alignment);
    } else if (object.kind === 'fault') object.queue.destroy();
  }

  /** The memory of a hardware queue may be unmapped again. */
  dropHwQueueAccess(access: SimAccessObject): void {
    const range = access.items.get(0)!;
    for (const area of access.parent.ioas.areas)
      if (area.iova <= range.last && area.last >= range.start) area.locks--;
    unpinAccess(access, 0);
    access.users = 0;
    this.objects.remove(access.id);
    this.destroy(access);
  }

  /** The pages of a vIOMMU at an offset of the descriptor; null when nothing begins there. */
  mmapAt(offsetBytes: number): SimViommuMmap | null {
    return this.#mmaps().find((mmap) => mmap.offsetBytes === offsetBytes) ?? null;
  }

  /** The lowest free offset, from the second page on. */
  freeMmapOffset(lengthBytes: number): number {
    let at = 4096;
    for (const { offsetBytes, lengthBytes: taken } of this.#mmaps()) {
      if (offsetBytes >= at + lengthBytes) break;
      at = offsetBytes + taken;
    }
    return at;
  }

  #mmaps(): SimViommuMmap[] {
    const mmaps = this.objects.all().flatMap((object) => (object.kind === 'viommu' ? [object.mmap] : []));
    return mmaps.filter((mmap) => mmap !== null).sort((a, b) => a.offsetBytes - b.offsetBytes);
  }

  #destroyHwQueue({ viommu, index, access }: SimHwQueueObject): void {
    viommu.hwQueues[index] = null;
    const previous = viommu.hwQueues[index - 1];
    if (previous !== undefined && previous !== null) previous.users--;
    this.dropHwQueueAccess(access);
    viommu.users--;
  }

  /** Leaves first, until nothing is left (iommufd_fops_release). */
  #destroyAll(): void {
    if (this.#holders > 0) return;
    for (let progress = true; progress; ) {
      progress = false;
      for (const object of this.objects.all()) {
        if (this.objects.remove(object.id) !== 0) continue;
        this.destroy(object);
        progress = true;
      }
    }
  }
}
