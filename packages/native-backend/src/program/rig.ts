import type { DmaEngine, EngineWindow } from '../devices/dma-engine.ts';
import { Edu, EDU_DEVICE, EDU_VENDOR } from '../devices/edu.ts';
import { Nvme, NVME_DEVICE, NVME_VENDOR, NVME_WINDOW_BYTES } from '../devices/nvme.ts';
import { bindToVfio } from '../bind-to-vfio.ts';
import { findPci } from '../find-pci.ts';
import { invoke } from '../invoke.ts';
import { Iommufd } from '../iommufd.ts';
import { KernelError } from '../kernel-error.ts';
import type { Sys, SysMemory } from '../sys.ts';
import { IOMMU_DESTROY, IOMMU_IOAS_MAP } from '../uapi/iommufd.ts';
import {
  IOMMU_TEST_OP_MOCK_DOMAIN,
  IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
  TEST_MOCK_DOMAIN,
  TEST_MOCK_DOMAIN_REPLACE,
} from '../uapi/iommufd-test.ts';
import { VFIO_DEVICE_ATTACH_IOMMUFD_PT, VFIO_DEVICE_DETACH_IOMMUFD_PT } from '../uapi/vfio.ts';
import { VfioDevice } from '../vfio-device.ts';

const PAGE = 4096;
const HUGE = 2 ** 21;
/** Pages of the arena that programs map pieces of. */
export const ARENA_PAGES: number = 64;
/** Where the engine's window is mapped in every address space: above everything that programs use. */
export const WINDOW_IOVA: bigint = 0x70000000n;

/** Which device a program runs with: the mock has no DMA. */
export type RigDevice = 'edu' | 'nvme' | 'mock';

/** A device as programs use it: results as the kernel gives them. */
export interface ProgramDevice {
  /** Id for IOMMU_HWPT_ALLOC; -1 while there is none. */
  readonly id: number;
  /** @returns id of the page table, or a negated errno. */
  attach(ptId: number): number;
  detach(): number;
  /** DMA; null when the device has none. Starts the device on first use. */
  engine(): DmaEngine | null;
}

/** Everything that a program runs on: a fresh iommufd, one device, an arena at an address aligned to 2 MiB. */
export class Rig implements Disposable {
  readonly sys: Sys;
  readonly iommufd: Iommufd;
  readonly arena: AlignedMemory;
  readonly window: SysMemory;
  readonly device: ProgramDevice;

  constructor(sys: Sys, kind: RigDevice) {
    this.sys = sys;
    this.iommufd = Iommufd.open(sys);
    this.arena = new AlignedMemory(sys, ARENA_PAGES * PAGE);
    this.window = memoryOf(sys, NVME_WINDOW_BYTES);
    this.device = kind === 'mock' ? new MockDevice(this.iommufd) : new PciDevice(this, kind);
  }

  /** Map the engine's window; part of making an address space. */
  mapWindow(ioasId: number): void {
    const values = {
      flags: 7,
      ioas_id: ioasId,
      user_va: this.window.address,
      length: NVME_WINDOW_BYTES,
      iova: WINDOW_IOVA,
    };
    const { result } = invoke(this.sys, this.iommufd.fd, IOMMU_IOAS_MAP, values);
    if (result < 0) throw new KernelError(IOMMU_IOAS_MAP.name, result, values);
  }

  [Symbol.dispose](): void {
    this.iommufd[Symbol.dispose]();
    this.arena.memory.unmap();
    this.window.unmap();
  }
}

/** @internal Anonymous memory at an address aligned to 2 MiB: what the kernel places by itself depends on that. */
export class AlignedMemory {
  readonly memory: SysMemory;
  /** Offset of the aligned part. */
  readonly at: number;
  readonly lengthBytes: number;

  constructor(sys: Sys, lengthBytes: number, access: 'rw' | 'r' | 'none' = 'rw') {
    this.memory = memoryOf(sys, lengthBytes + HUGE, access);
    this.at = Number((BigInt(HUGE) - (this.memory.address % BigInt(HUGE))) % BigInt(HUGE));
    this.lengthBytes = lengthBytes;
  }

  get address(): bigint {
    return this.memory.address === 0n ? 0n : this.memory.address + BigInt(this.at);
  }

  get bytes(): Uint8Array {
    return this.memory.bytes.subarray(this.at, this.at + this.lengthBytes);
  }
}

/** @internal Anonymous memory, or an error. */
export function memoryOf(sys: Sys, lengthBytes: number, access: 'rw' | 'r' | 'none' = 'rw'): SysMemory {
  const memory = sys.mmap({ lengthBytes, access });
  if (typeof memory === 'number') throw new KernelError('mmap', memory, { lengthBytes });
  return memory;
}

class PciDevice implements ProgramDevice {
  readonly #vfio: VfioDevice;
  readonly #kind: 'edu' | 'nvme';
  readonly #window: EngineWindow;
  #engine: DmaEngine | null = null;

  constructor(rig: Rig, kind: 'edu' | 'nvme') {
    const [vendor, device] = kind === 'edu' ? [EDU_VENDOR, EDU_DEVICE] : [NVME_VENDOR, NVME_DEVICE];
    const [bdf] = findPci(rig.sys, vendor, device);
    if (bdf === undefined) throw new Error(`there is no ${kind} device on this machine`);
    bindToVfio(rig.sys, bdf);
    this.#kind = kind;
    this.#vfio = VfioDevice.open(rig.iommufd, bdf);
    this.#window = engineWindow(rig.window, WINDOW_IOVA);
  }

  get id(): number {
    return this.#vfio.id;
  }

  attach(ptId: number): number {
    const { sys } = this.#vfio.iommufd;
    const { result, out } = invoke(sys, this.#vfio.fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, { pt_id: ptId });
    return result < 0 ? result : out.pt_id;
  }

  detach(): number {
    return invoke(this.#vfio.iommufd.sys, this.#vfio.fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, {}).result;
  }

  engine(): DmaEngine {
    this.#engine ??=
      this.#kind === 'edu' ? new Edu(this.#vfio, this.#window) : new Nvme(this.#vfio, this.#window);
    return this.#engine;
  }
}

/** @internal Memory as the window of an engine. */
export function engineWindow(memory: SysMemory, iova: bigint): EngineWindow {
  return { bytes: memory.bytes, read16: (offset) => memory.read(offset, 16), iova };
}

/** The selftest's device: attaching the first time creates it. */
class MockDevice implements ProgramDevice {
  readonly #iommufd: Iommufd;
  #stdevId = -1;
  id = -1;

  constructor(iommufd: Iommufd) {
    this.#iommufd = iommufd;
  }

  attach(ptId: number): number {
    const { sys, fd } = this.#iommufd;
    if (this.#stdevId < 0) {
      const { result, out } = invoke(sys, fd, TEST_MOCK_DOMAIN, { op: IOMMU_TEST_OP_MOCK_DOMAIN, id: ptId });
      if (result < 0) return result;
      this.#stdevId = out.out_stdev_id;
      this.id = out.out_idev_id;
      return out.out_hwpt_id;
    }
    const { result, out } = invoke(sys, fd, TEST_MOCK_DOMAIN_REPLACE, {
      op: IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
      id: this.#stdevId,
      pt_id: ptId,
    });
    return result < 0 ? result : out.pt_id;
  }

  detach(): number {
    if (this.#stdevId < 0) return 0;
    const id = this.#stdevId;
    this.#stdevId = -1;
    this.id = -1;
    return invoke(this.#iommufd.sys, this.#iommufd.fd, IOMMU_DESTROY, { id }).result;
  }

  engine(): null {
    return null;
  }
}
