import { Machine } from '@gpusvm/kernel';
import { bindToVfio } from '../src/bind-to-vfio.ts';
import { invoke } from '../src/invoke.ts';
import { Iommufd } from '../src/iommufd.ts';
import type { Ioas } from '../src/ioas.ts';
import { PinnedArena } from '../src/pinned-arena.ts';
import { SimSys, type SimSysOptions } from '../src/sim/sim-sys.ts';
import { IOMMU_TEST_OP_MOCK_DOMAIN, TEST_MOCK_DOMAIN } from '../src/uapi/iommufd-test.ts';
import { VfioDevice } from '../src/vfio-device.ts';

export const EDU = '0000:00:04.0';
export const NVME = '0000:00:05.0';

/** A simulated machine with an attached device and an arena. */
export interface Attached extends Disposable {
  readonly sys: SimSys;
  readonly machine: Machine;
  readonly iommufd: Iommufd;
  readonly ioas: Ioas;
  readonly arena: PinnedArena;
  /** Null for the mock. */
  readonly device: VfioDevice | null;
  /** Ids of the mock device's objects; -1 without it. */
  readonly mock: { readonly stdevId: number; readonly hwptId: number; readonly deviceId: number };
}

export function attached(options: SimSysOptions = {}, bdf = EDU, pages = 8192): Attached {
  const sys = new SimSys(options);
  const machine = new Machine();
  const iommufd = Iommufd.open(sys);
  const arena = new PinnedArena(machine, sys, { pages });
  const ioas = iommufd.allocIoas();
  let device: VfioDevice | null = null;
  let mock = { stdevId: -1, hwptId: -1, deviceId: -1 };
  if (options.driver === 'mock') {
    const { out } = invoke(sys, iommufd.fd, TEST_MOCK_DOMAIN, { op: IOMMU_TEST_OP_MOCK_DOMAIN, id: ioas.id });
    mock = { stdevId: out.out_stdev_id, hwptId: out.out_hwpt_id, deviceId: out.out_idev_id };
  } else {
    bindToVfio(sys, bdf);
    device = VfioDevice.open(iommufd, bdf);
    device.attach(ioas);
  }
  return {
    sys,
    machine,
    iommufd,
    ioas,
    arena,
    device,
    mock,
    [Symbol.dispose]: () => {
      // The selftest's device is no VfioDevice: it has to go before its address space.
      if (mock.stdevId >= 0) iommufd.destroyObject(mock.stdevId);
      iommufd[Symbol.dispose]();
      arena[Symbol.dispose]();
    },
  };
}
