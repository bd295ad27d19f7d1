import { placeData } from './driver-data.ts';
import { EventQueue, type EventQueueOptions } from './event-queue.ts';
import type { Hwpt } from './hwpt.ts';
import { type Invalidated, invalidate } from './invalidate.ts';
import { invoke } from './invoke.ts';
import type { Iommufd } from './iommufd.ts';
import { check } from './kernel-error.ts';
import { NestedHwpt, type NestedHwptOptions } from './nested-hwpt.ts';
import type { U64 } from './u64.ts';
import { IOMMU_HW_QUEUE_ALLOC, IOMMU_VDEVICE_ALLOC, IOMMU_VIOMMU_ALLOC } from './uapi/iommufd-virtual.ts';
import { ViommuObject } from './viommu-object.ts';

/** Which IOMMU a guest gets. */
export interface ViommuOptions {
  /** Type of the driver: IOMMU_VIOMMU_TYPE_ARM_SMMUV3 and so on. */
  readonly type: number;
  /** Data of that type, when it has any (since 6.17). What the driver answers is written back into these bytes. */
  readonly data?: Uint8Array;
}

/** A queue of commands in the guest's memory that the hardware reads by itself. */
export interface HwQueueOptions {
  readonly type: number;
  readonly index: number;
  /** Where it is, as the parent page table sees the guest's memory; its memory cannot be unmapped meanwhile. */
  readonly iova: U64;
  readonly lengthBytes: U64;
}

/**
 * The IOMMU of a guest (since 6.13): page tables, devices by the number that the guest gives them, events for the guest,
 * command queues. Disposing it disposes all of those first.
 */
export class Viommu implements Disposable {
  readonly iommufd: Iommufd;
  readonly id: number;
  readonly parent: Hwpt;
  /** @internal what was made through it, in order of creation. */
  readonly dependents: Set<Disposable> = new Set();
  #live = true;

  /** @internal use {@link Hwpt.allocViommu}. */
  static alloc(parent: Hwpt, deviceId: number, options: ViommuOptions): Viommu {
    const { iommufd } = parent;
    const { type, data } = options;
    const values = {
      type,
      dev_id: deviceId,
      hwpt_id: parent.id,
      data_len: data?.length ?? 0,
      data_uptr: placeData(iommufd, data),
    };
    const { result, out } = invoke(iommufd.sys, iommufd.fd, IOMMU_VIOMMU_ALLOC, values);
    check(IOMMU_VIOMMU_ALLOC.name, result, values);
    if (data !== undefined) data.set(iommufd.scratch(data.length).bytes.subarray(0, data.length));
    return new Viommu(parent, out.out_viommu_id);
  }

  private constructor(parent: Hwpt, id: number) {
    this.parent = parent;
    this.iommufd = parent.iommufd;
    this.id = id;
    parent.dependents.add(this);
    this.iommufd.owned.add(this);
  }

  /** Make a page table of the guest. @throws KernelError EOPNOTSUPP for data that is not of the IOMMU's format. */
  allocNested(device: { readonly id: number }, options: NestedHwptOptions): NestedHwpt {
    return NestedHwpt.alloc(this, device.id, options);
  }

  /** Obey invalidations of the guest; see {@link NestedHwpt.invalidate}. */
  invalidate(type: number, entries: readonly Uint8Array[]): Invalidated {
    return invalidate(this.iommufd, this.id, type, entries);
  }

  /**
   * Say under which number the guest knows a device (IOMMU_VDEVICE_ALLOC). It goes with the device.
   *
   * @throws KernelError EEXIST when the device has a number or the number a device.
   */
  allocVdevice(device: { readonly id: number }, virtId: U64): ViommuObject {
    const values = { viommu_id: this.id, dev_id: device.id, virt_id: BigInt(virtId) };
    const { result, out } = invoke(this.iommufd.sys, this.iommufd.fd, IOMMU_VDEVICE_ALLOC, values);
    check(IOMMU_VDEVICE_ALLOC.name, result, values);
    return new ViommuObject(this, out.out_vdevice_id);
  }

  /** Make a queue for events of one type (IOMMU_VEVENTQ_ALLOC, since 6.15). @throws KernelError EEXIST */
  allocEventQueue(options: EventQueueOptions): EventQueue {
    return EventQueue.alloc(this, options);
  }

  /**
   * Give the hardware a queue of the guest (IOMMU_HW_QUEUE_ALLOC, since 6.17).
   *
   * @throws KernelError ENOENT when its memory is not mapped, EFAULT when it is not contiguous, EEXIST for a taken index.
   */
  allocHwQueue(options: HwQueueOptions): ViommuObject {
    const values = {
      viommu_id: this.id,
      type: options.type,
      index: options.index,
      nesting_parent_iova: BigInt(options.iova),
      length: BigInt(options.lengthBytes),
    };
    const { result, out } = invoke(this.iommufd.sys, this.iommufd.fd, IOMMU_HW_QUEUE_ALLOC, values);
    check(IOMMU_HW_QUEUE_ALLOC.name, result, values);
    return new ViommuObject(this, out.out_hw_queue_id);
  }

  /** Destroy what was made through it, last first, and the object. */
  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    for (const dependent of [...this.dependents].reverse()) dependent[Symbol.dispose]();
    this.iommufd.destroyObject(this.id);
    this.parent.dependents.delete(this);
    this.iommufd.owned.delete(this);
  }
}
