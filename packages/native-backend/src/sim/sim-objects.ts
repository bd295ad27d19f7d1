import { EBUSY, ENOENT, type Errno } from '@gpusvm/kernel';
import type { SimDriver, SimKernel, SimRange } from './sim-driver.ts';
import type { Call } from '../uapi/call.ts';
import type { SimAddressSpace } from './address-space.ts';
import type { SimContext } from './sim-context.ts';
import type { SimFaultQueue } from './sim-fault-queue.ts';
import type { SimIoas } from './sim-ioas.ts';
import type { SimMemlock } from './sim-pages.ts';
import type {
  SimHwQueueObject,
  SimMockDevice,
  SimNestedObject,
  SimPageTable,
  SimVdeviceObject,
  SimVeventqObject,
  SimViommuObject,
} from './sim-virtual-objects.ts';

/** Fields that every object of an iommufd has. */
export interface SimObject {
  readonly kind:
    | 'ioas'
    | 'hwpt'
    | 'nested'
    | 'device'
    | 'fault'
    | 'selftest'
    | 'access'
    | 'viommu'
    | 'vdevice'
    | 'veventq'
    | 'hwqueue';
  readonly id: number;
  /** References beside the one of the table (obj->users - 1): destroying needs 0. */
  users: number;
}

export interface SimIoasObject extends SimObject {
  readonly kind: 'ioas';
  readonly ioas: SimIoas;
  /** Page tables of this IOAS, oldest first. */
  readonly hwpts: SimHwptObject[];
}

/** A hardware page table over an IOAS (struct iommufd_hwpt_paging). */
export interface SimHwptObject extends SimObject {
  readonly kind: 'hwpt';
  readonly parent: SimIoasObject;
  readonly aperture: SimRange;
  readonly ioPageBytes: bigint;
  readonly readsWriteOnly: boolean;
  /** Made by an attach to the IOAS; goes with its last device. */
  readonly auto: boolean;
  readonly dirtyCapable: boolean;
  /** May be the parent of a guest's page table (IOMMU_HWPT_ALLOC_NEST_PARENT). */
  readonly nestParent: boolean;
  /** May be attached beside PASIDs, and to one (IOMMU_HWPT_ALLOC_PASID). */
  readonly pasidCompatible: boolean;
  readonly fault: SimFaultObject | null;
  dirtyTracking: boolean;
  /** Granule in which writes are recorded. */
  readonly dirtyBytes: bigint;
  /** Granules written by a device, by number. */
  readonly dirty: Set<bigint>;
}

/** A device that is bound to this iommufd. */
export interface SimDeviceObject extends SimObject {
  readonly kind: 'device';
  hwpt: SimPageTable | null;
  /** Page tables of its PASIDs. */
  readonly pasids: Map<number, SimPageTable>;
  /** The device in a guest's IOMMU; null when it has none. */
  vdevice: SimVdeviceObject | null;
  /** The selftest's side of the device; null for a PCI function. */
  readonly mock: SimMockDevice | null;
}

export interface SimFaultObject extends SimObject {
  readonly kind: 'fault';
  readonly queue: SimFaultQueue;
}

export interface SimSelftestObject extends SimObject {
  readonly kind: 'selftest';
  readonly device: SimDeviceObject;
}

/** An in-kernel user of an IOAS (mdev drivers; here the selftest's): pins pages without a domain. */
export interface SimAccessObject extends SimObject {
  readonly kind: 'access';
  readonly parent: SimIoasObject;
  /** What its ranges are aligned to: a page when it pins. */
  readonly alignment: bigint;
  /** Pinned ranges by item number. */
  readonly items: Map<number, SimRange>;
  nextItem: number;
}

export type AnySimObject =
  | SimIoasObject
  | SimHwptObject
  | SimDeviceObject
  | SimNestedObject
  | SimFaultObject
  | SimSelftestObject
  | SimAccessObject
  | SimViommuObject
  | SimVdeviceObject
  | SimVeventqObject
  | SimHwQueueObject;

/** Fields of a structure while a call works on it; what it changes is copied back. */
export type SimFields = Record<string, number | bigint>;

/** One line of the table of calls. */
export interface SimCallEntry {
  readonly call: Call;
  /** Kernel that brought it; default: both have it. */
  readonly since?: '7.3';
  readonly run: (ctx: SimContext, fields: SimFields) => Errno;
}

/** What the whole simulated kernel shares. */
export interface SimHost {
  readonly kernel: SimKernel;
  readonly driver: SimDriver;
  readonly space: SimAddressSpace;
  readonly memlock: SimMemlock;
  /** CAP_SYS_RESOURCE. */
  readonly privileged: boolean;
  /** Put a file into the descriptor table. */
  installFile(file: SimFile): number;
  /** The file behind a descriptor; null when there is none. */
  fileOf(fd: number): SimFile | null;
}

/** What a descriptor refers to. Results are not negative or a negated errno. */
export interface SimFile {
  ioctl(request: number, argument: Uint8Array): number;
  read(into: Uint8Array, offsetBytes: number | null): number;
  write(from: Uint8Array, offsetBytes: number | null): number;
  /** A read would not block. */
  isReadable(): boolean;
  close(): void;
}

/** The objects of one open /dev/iommu, by id; ids are the lowest free number from 1, as an xarray gives them. */
export class SimObjects {
  readonly #byId = new Map<number, AnySimObject>();
  /** Ids that are taken by objects which are still being made: nobody finds them yet. */
  readonly #reserved = new Set<number>();

  nextId(): number {
    let id = 1;
    while (this.#byId.has(id) || this.#reserved.has(id)) id++;
    return id;
  }

  /** Take an id for an object that is added or given up later (iommufd_object_alloc). */
  reserveId(): number {
    const id = this.nextId();
    this.#reserved.add(id);
    return id;
  }

  /** Keep the id of an object that is gone from being given again (a tombstone). */
  reserve(id: number): void {
    this.#reserved.add(id);
  }

  /** Give a reserved id up (iommufd_object_abort). */
  releaseId(id: number): void {
    this.#reserved.delete(id);
  }

  get isEmpty(): boolean {
    return this.#byId.size === 0;
  }

  add(object: AnySimObject): void {
    this.#reserved.delete(object.id);
    this.#byId.set(object.id, object);
  }

  /** Any object, null when there is none. */
  get(id: number): AnySimObject | null {
    return this.#byId.get(id) ?? null;
  }

  /** An object of one kind; null when there is none or it is of another kind (iommufd_get_object: ENOENT). */
  find<K extends AnySimObject['kind']>(id: number, kind: K): Extract<AnySimObject, { kind: K }> | null {
    const object = this.#byId.get(id);
    return object?.kind === kind ? (object as Extract<AnySimObject, { kind: K }>) : null;
  }

  /** iommufd_object_remove: 0, -ENOENT, or -EBUSY while somebody refers to it. The caller destroys it. */
  remove(id: number): Errno {
    const object = this.#byId.get(id);
    if (object === undefined) return -ENOENT;
    if (object.users > 0) return -EBUSY;
    this.#byId.delete(id);
    return 0;
  }

  /** All objects now; safe against removal meanwhile. */
  all(): AnySimObject[] {
    return [...this.#byId.values()];
  }
}
