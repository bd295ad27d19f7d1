import { DirtyTracking } from './dirty-tracking.ts';
import type { FaultQueue } from './fault-queue.ts';
import { invoke } from './invoke.ts';
import type { Ioas } from './ioas.ts';
import type { Iommufd } from './iommufd.ts';
import { check } from './kernel-error.ts';
import { NestedHwpt, type NestedHwptOptions } from './nested-hwpt.ts';
import type { Attachment } from './attachment.ts';
import {
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_HWPT_FAULT_ID_VALID,
} from './uapi/iommufd.ts';
import { Viommu, type ViommuOptions } from './viommu.ts';

/** What a page table has to be able to do. */
export interface HwptOptions {
  /** Record which pages devices write; default false. */
  readonly dirtyTracking?: boolean;
  /** Be the parent of a guest's page table; default false. */
  readonly nestParent?: boolean;
  /** Where page requests go; default: they fail. */
  readonly faultQueue?: FaultQueue;
  /** Attachable to PASIDs of a device, and to a device that uses PASIDs; default false. Since 6.15. */
  readonly pasid?: boolean;
}

/** A hardware page table over an address space, made explicitly; an attach to an {@link Ioas} makes one by itself. */
export class Hwpt implements Disposable {
  readonly iommufd: Iommufd;
  readonly ioas: Ioas;
  readonly id: number;
  /** @internal devices that are attached. */
  readonly devices: Set<Attachment> = new Set();
  /** @internal page tables and IOMMUs of guests on top of it. */
  readonly dependents: Set<Disposable> = new Set();
  #dirty: DirtyTracking | null = null;
  readonly #tracks: boolean;
  #live = true;

  /** @internal use {@link Ioas.allocHwpt}. */
  static alloc(ioas: Ioas, deviceId: number, options: HwptOptions): Hwpt {
    const { dirtyTracking = false, nestParent = false, faultQueue, pasid = false } = options;
    const values = {
      flags:
        (dirtyTracking ? IOMMU_HWPT_ALLOC_DIRTY_TRACKING : 0) |
        (nestParent ? IOMMU_HWPT_ALLOC_NEST_PARENT : 0) |
        (faultQueue === undefined ? 0 : IOMMU_HWPT_FAULT_ID_VALID) |
        (pasid ? IOMMU_HWPT_ALLOC_PASID : 0),
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

  /**
   * Make a page table of a guest, whose addresses this page table translates (IOMMU_HWPT_ALLOC with data).
   *
   * @throws KernelError EINVAL when this page table was made without nestParent, EOPNOTSUPP for data that is not of the
   *   IOMMU's format.
   */
  allocNested(device: { readonly id: number }, options: NestedHwptOptions): NestedHwpt {
    return NestedHwpt.alloc(this, device.id, options);
  }

  /**
   * Make the IOMMU of a guest on top of this page table (IOMMU_VIOMMU_ALLOC).
   *
   * @throws KernelError EINVAL without nestParent, EOPNOTSUPP when the driver has no such type, ENOTTY before 6.13.
   */
  allocViommu(device: { readonly id: number }, options: ViommuOptions): Viommu {
    return Viommu.alloc(this, device.id, options);
  }

  /** Destroy what guests have on top of it, detach the devices and destroy the object. */
  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    for (const dependent of [...this.dependents].reverse()) dependent[Symbol.dispose]();
    for (const device of this.devices) device.detach();
    this.iommufd.destroyObject(this.id);
    this.ioas.dependents.delete(this);
    this.iommufd.owned.delete(this);
  }
}
