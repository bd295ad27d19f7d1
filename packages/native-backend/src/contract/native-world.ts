import { Machine } from '@gpusvm/kernel';
import { bindToVfio } from '../bind-to-vfio.ts';
import type { EngineWindow } from '../devices/dma-engine.ts';
import { EDU_DEVICE, EDU_VENDOR } from '../devices/edu.ts';
import { NVME_DEVICE, NVME_VENDOR, NVME_WINDOW_BYTES } from '../devices/nvme.ts';
import { findPci } from '../find-pci.ts';
import { invoke } from '../invoke.ts';
import { Iommufd } from '../iommufd.ts';
import type { Ioas } from '../ioas.ts';
import { check } from '../kernel-error.ts';
import { PinnedArena } from '../pinned-arena.ts';
import { engineWindow, memoryOf, type RigDevice } from '../program/rig.ts';
import type { Sys, SysMemory } from '../sys.ts';
import { IOMMU_TEST_OP_MOCK_DOMAIN, TEST_MOCK_DOMAIN } from '../uapi/iommufd-test.ts';
import { VfioDevice } from '../vfio-device.ts';

/** @internal IOVA of the engine's window in a world. */
export const WORLD_WINDOW: 0x40000000 = 0x40000000;

/** @internal A machine with an arena and one attached device on any system, for the contract suites. */
export class NativeWorld implements Disposable {
  readonly sys: Sys;
  readonly machine: Machine = new Machine();
  readonly iommufd: Iommufd;
  readonly ioas: Ioas;
  readonly arena: PinnedArena;
  /** Null for the mock. */
  readonly device: VfioDevice | null;
  /** Ids of the mock device's objects; -1 without it. */
  readonly mock: { readonly stdevId: number; readonly hwptId: number; readonly deviceId: number };
  #window: SysMemory | null = null;

  constructor(sys: Sys, kind: RigDevice, pages: number) {
    this.sys = sys;
    this.iommufd = Iommufd.open(sys);
    // The selftest does not count pins of a page that is part of a huge one: it would accept any number.
    this.arena = new PinnedArena(this.machine, sys, { pages, hugePages: kind !== 'mock' });
    this.ioas = this.iommufd.allocIoas();
    this.device = kind === 'mock' ? null : open(this.iommufd, kind);
    this.device?.attach(this.ioas);
    this.mock =
      kind === 'mock' ? attachMock(this.iommufd, this.ioas) : { stdevId: -1, hwptId: -1, deviceId: -1 };
  }

  /** Memory for the rings and data of an engine, mapped once. */
  window(): EngineWindow {
    if (this.#window === null) {
      this.#window = memoryOf(this.sys, NVME_WINDOW_BYTES);
      this.ioas.map({ memory: this.#window, iova: WORLD_WINDOW });
    }
    return engineWindow(this.#window, BigInt(WORLD_WINDOW));
  }

  [Symbol.dispose](): void {
    // The selftest's device is no VfioDevice: it has to go before its address space.
    if (this.mock.stdevId >= 0) this.iommufd.destroyObject(this.mock.stdevId);
    this.iommufd[Symbol.dispose]();
    this.arena[Symbol.dispose]();
    this.#window?.unmap();
  }
}

function open(iommufd: Iommufd, kind: 'edu' | 'nvme'): VfioDevice {
  const [vendor, device] = kind === 'edu' ? [EDU_VENDOR, EDU_DEVICE] : [NVME_VENDOR, NVME_DEVICE];
  const [bdf] = findPci(iommufd.sys, vendor, device);
  if (bdf === undefined) throw new Error(`there is no ${kind} device on this machine`);
  bindToVfio(iommufd.sys, bdf);
  return VfioDevice.open(iommufd, bdf);
}

function attachMock(iommufd: Iommufd, ioas: Ioas): NativeWorld['mock'] {
  const values = { op: IOMMU_TEST_OP_MOCK_DOMAIN, id: ioas.id };
  const { result, out } = invoke(iommufd.sys, iommufd.fd, TEST_MOCK_DOMAIN, values);
  check(TEST_MOCK_DOMAIN.name, result, values);
  return { stdevId: out.out_stdev_id, hwptId: out.out_hwpt_id, deviceId: out.out_idev_id };
}
