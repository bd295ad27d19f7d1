import type { Attachment } from './attachment.ts';
import { type DriverData, placeData } from './driver-data.ts';
import type { FaultQueue } from './fault-queue.ts';
import { type Invalidated, invalidate } from './invalidate.ts';
import { invoke } from './invoke.ts';
import type { Iommufd } from './iommufd.ts';
import { check } from './kernel-error.ts';
import { IOMMU_HWPT_ALLOC, IOMMU_HWPT_ALLOC_PASID, IOMMU_HWPT_FAULT_ID_VALID } from './uapi/iommufd.ts';

/** What a page table of a guest is made from. */
export interface NestedHwptOptions {
  /** Where the guest's page table is and how it is walked, in the format of the IOMMU. */
  readonly data: DriverData;
  /** Where page requests go; default: they fail. */
  readonly faultQueue?: FaultQueue;
  /** Attachable to PASIDs of a device, and to a device that uses PASIDs; default false. Since 6.15. */
  readonly pasid?: boolean;
}

/** What a page table of a guest stands on: a {@link Hwpt} with nestParent, or a {@link Viommu}. */
interface NestedParent {
  readonly iommufd: Iommufd;
  readonly id: number;
  readonly dependents: Set<Disposable>;
}

/** A page table that a guest wrote: the device walks it, and every address in it goes through the parent. */
export class NestedHwpt implements Disposable {
  readonly iommufd: Iommufd;
  readonly id: number;
  /** @internal devices that are attached. */
  readonly devices: Set<Attachment> = new Set();
  readonly #parent: NestedParent;
  #live = true;

  /** @internal use {@link Hwpt.allocNested} or {@link Viommu.allocNested}. */
  static alloc(parent: NestedParent, deviceId: number, options: NestedHwptOptions): NestedHwpt {
    const { data, faultQueue, pasid = false } = options;
    const { iommufd } = parent;
    const values = {
      flags:
        (faultQueue === undefined ? 0 : IOMMU_HWPT_FAULT_ID_VALID) | (pasid ? IOMMU_HWPT_ALLOC_PASID : 0),
      dev_id: deviceId,
      pt_id: parent.id,
      data_type: data.type,
      data_len: data.bytes.length,
      data_uptr: placeData(iommufd, data.bytes),
      fault_id: faultQueue?.id ?? 0,
    };
    const { result, out } = invoke(iommufd.sys, iommufd.fd, IOMMU_HWPT_ALLOC, values);
    check(IOMMU_HWPT_ALLOC.name, result, values);
    return new NestedHwpt(parent, out.out_hwpt_id);
  }

  private constructor(parent: NestedParent, id: number) {
    this.#parent = parent;
    this.iommufd = parent.iommufd;
    this.id = id;
    parent.dependents.add(this);
    this.iommufd.owned.add(this);
  }

  /**
   * The guest changed its page table: drop what the IOMMU has cached of it (IOMMU_HWPT_INVALIDATE).
   *
   * @param type - type of the entries.
   * @param entries - one structure each, all of the same length; obeyed in order until one is refused.
   */
  invalidate(type: number, entries: readonly Uint8Array[]): Invalidated {
    return invalidate(this.iommufd, this.id, type, entries);
  }

  /** Detach the devices and destroy the object. */
  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    for (const device of this.devices) device.detach();
    this.iommufd.destroyObject(this.id);
    this.#parent.dependents.delete(this);
    this.iommufd.owned.delete(this);
  }
}
