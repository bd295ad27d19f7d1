import type {
  SimAccessObject,
  SimDeviceObject,
  SimFaultObject,
  SimHwptObject,
  SimObject,
} from './sim-objects.ts';
import type { SimVeventq } from './sim-veventq.ts';

/** A guest's page table on top of the host's (struct iommufd_hwpt_nested). */
export interface SimNestedObject extends SimObject {
  readonly kind: 'nested';
  /** What translates the guest's physical addresses. */
  readonly parent: SimHwptObject;
  /** The guest's IOMMU, when it was made for one. */
  readonly viommu: SimViommuObject | null;
  readonly pasidCompatible: boolean;
  readonly fault: SimFaultObject | null;
  /** The mock's cache: a value until its invalidation makes it 0. */
  readonly iotlb: Uint32Array;
}

/** What a device can be attached to. */
export type SimPageTable = SimHwptObject | SimNestedObject;

/** The guest's IOMMU, or the part of the host's that it has (struct iommufd_viommu). */
export interface SimViommuObject extends SimObject {
  readonly kind: 'viommu';
  readonly hwpt: SimHwptObject;
  readonly vdevices: Map<bigint, SimVdeviceObject>;
  readonly eventQueues: SimVeventqObject[];
  /** Hardware queues by index. */
  readonly hwQueues: (SimHwQueueObject | null)[];
  /** Pages that the process may map; null when it asked for none. */
  readonly mmap: SimViommuMmap | null;
}

/** Two pages of the mock's vIOMMU, at an offset of the descriptor. */
export interface SimViommuMmap {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly firstWord: number;
}

/** A device as the guest's IOMMU knows it. */
export interface SimVdeviceObject extends SimObject {
  readonly kind: 'vdevice';
  readonly viommu: SimViommuObject;
  readonly device: SimDeviceObject;
  readonly virtId: bigint;
}

export interface SimVeventqObject extends SimObject {
  readonly kind: 'veventq';
  readonly viommu: SimViommuObject;
  readonly type: number;
  readonly queue: SimVeventq;
}

/** A command queue of the guest that the hardware reads: its memory stays mapped. */
export interface SimHwQueueObject extends SimObject {
  readonly kind: 'hwqueue';
  readonly viommu: SimViommuObject;
  readonly index: number;
  readonly access: SimAccessObject;
}

/** What the selftest's device remembers. */
export interface SimMockDevice {
  readonly noDirty: boolean;
  /** The first PASID that it does not have; 1 when it has none but itself. */
  readonly pasids: number;
  readonly cache: Uint32Array;
  /** The guest's IOMMU and the device's number in it, since the last attach to a page table of one. */
  viommu: SimViommuObject | null;
  virtId: bigint;
  /** The next page table for PASID 1024 is refused. */
  refusesNext: boolean;
}
