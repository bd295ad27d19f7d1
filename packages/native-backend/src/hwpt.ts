import { DirtyTracking } from './dirty-tracking.ts';
import type { FaultQueue } from './fault-queue.ts';
import { invoke } from './invoke.ts';
import type { Ioas } from './ioas.ts';
import type { Iommufd } from './iommufd.ts';
import { check } from './kernel-error.ts';
import {
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_FAULT_ID_VALID,
} from './uapi/iommufd.ts';

/** What a page table has to be able to do. */
export interface HwptOptions {
  /** Record which pages devices write; default false. */
  readonly dirtyTracking?: boolean;
  /** Be the parent of a guest's page table; default false. */
  readonly nestParent?: boolean;
  /** Where page requests go; default: they fail. */
  readonly faultQueue?: FaultQueue;
}

/** A hardware page table over an address space, made explicitly; an attach to an {@link Ioas} makes one by itself. */
export class Hwpt implements Disposable {
  readonly iommufd: Iommufd;
  readonly ioas: Ioas;
  readonly id: number;
  /** @internal devices that are attached. */
  readonly devices: Set<{ detach(): void }> = new Set();
  #dirty: DirtyTracking | null = null;
  readonly #tracks: boolean;
  #live = true;

  /** @internal use {@link Ioas.allocHwpt}. */
  static alloc(ioas: Ioas, deviceId: number, options: HwptOptions): Hwpt {
    const { dirtyTracking = false, nestParent = false, faultQueue } = options;
    const values = {
      flags:
        (dirtyTracking ? IOMMU_HWPT_ALLOC_DIRTY_TRACKING : 0) |
        (nestParent ? IOMMU_HWPT_ALLOC_NEST_PARENT : 0) |
        (faultQueue === undefined ? 0 : IOMMU_HWPT_FAULT_ID_VALID),
      dev_id: deviceId,
      pt_id: ioas.id,
      fault_id: faultQueue?.id ?? 0,
    };
    const { result, out } = invoke(ioas.iommufd.sys, ioas.iommufd.fd, IOMMU_HWPT_ALLOC, values);
    check(IOMMU_HWPT_ALLOC.name, result, values);
    return new Hwpt(ioas, out.out_hwpt_id, dirtyTracking);
  }

  private constructor(ioas: Ioas, id: number, tracks: boolean) {
    this.iommufd = ioas.iommufd;
    this.ioas = ioas;
    this.id = id;
    this.#tracks = tracks;
    ioas.dependents.add(this);
    this.iommufd.owned.add(this);
  }

  /**
   * The record of device writes.
   *
   * @throws TypeError when the page table was made without dirty tracking.
   */
  get dirty(): DirtyTracking {
    if (!this.#tracks) throw new TypeError('the page table was allocated without dirtyTracking: true');
    this.#dirty ??= new DirtyTracking(this.iommufd, this.id);
    return this.#dirty;
  }

  /** Detach the devices and destroy the object. */
  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    for (const device of this.devices) device.detach();
    this.iommufd.destroyObject(this.id);
    this.ioas.dependents.delete(this);
    this.iommufd.owned.delete(this);
  }
}
