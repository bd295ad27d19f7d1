import { destroyHwpt, detach } from './sim-attach.ts';
import { type AnySimObject, type SimDeviceObject, type SimHost, SimObjects } from './sim-objects.ts';

/** What one open /dev/iommu owns (struct iommufd_ctx). Bound devices hold it beyond the close of its descriptor. */
export class SimContext {
  readonly host: SimHost;
  readonly objects: SimObjects = new SimObjects();
  /** IOMMU_OPTION_RLIMIT_MODE. */
  perProcessAccounting = false;
  #closed = false;
  #devices = 0;

  constructor(host: SimHost) {
    this.host = host;
  }

  /**
   * A device is bound: users cannot destroy its object.
   *
   * @param holds - it keeps the context beyond the close of its descriptor; the selftest's devices do not.
   */
  addDevice(holds: boolean): SimDeviceObject {
    const device: SimDeviceObject = { kind: 'device', id: this.objects.nextId(), users: 1, hwpt: null };
    this.objects.add(device);
    if (holds) this.#devices++;
    return device;
  }

  /** The device leaves: detached, and its object is gone. */
  removeDevice(device: SimDeviceObject, holds: boolean): void {
    detach(this, device);
    device.users = 0;
    this.objects.remove(device.id);
    if (!holds) return;
    this.#devices--;
    if (this.#closed) this.#destroyAll();
  }

  close(): void {
    this.#closed = true;
    this.#destroyAll();
  }

  /** What a type leaves to do when its object has left the table. */
  destroy(object: AnySimObject): void {
    if (object.kind === 'hwpt') destroyHwpt(object);
    else if (object.kind === 'selftest') this.removeDevice(object.device, false);
    else if (object.kind === 'ioas') object.ioas.unmap(0n, 2n ** 64n - 1n);
    else if (object.kind === 'access') {
      object.parent.users--;
      object.parent.ioas.removeAccess(object.alignment);
    } else if (object.kind === 'fault') object.queue.close();
  }

  /** Leaves first, until nothing is left (iommufd_fops_release). */
  #destroyAll(): void {
    if (this.#devices > 0) return;
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
