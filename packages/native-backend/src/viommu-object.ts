import { ENOENT } from '@gpusvm/kernel';
import type { Iommufd } from './iommufd.ts';
import { KernelError } from './kernel-error.ts';

/** What owns such an object. */
interface Owner {
  readonly iommufd: Iommufd;
  readonly dependents: Set<Disposable>;
}

/** A device or a command queue in the IOMMU of a guest: an id that lasts until it is disposed. */
export class ViommuObject implements Disposable {
  readonly id: number;
  readonly #owner: Owner;
  #live = true;

  /** @internal use {@link Viommu.allocVdevice} or {@link Viommu.allocHwQueue}. */
  constructor(owner: Owner, id: number) {
    this.id = id;
    this.#owner = owner;
    owner.dependents.add(this);
  }

  /** Destroy the object. A device of a guest may be gone with the device itself. */
  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    this.#owner.dependents.delete(this);
    try {
      this.#owner.iommufd.destroyObject(this.id);
    } catch (error) {
      if (!(error instanceof KernelError) || error.errno !== -ENOENT) throw error;
    }
  }
}
