import { type ContractCheck, same } from '@gpusvm/dma-iova/contract';
import { resultName } from '../errno.ts';
import type { Hwpt } from '../hwpt.ts';
import { invoke } from '../invoke.ts';
import type { Sys } from '../sys.ts';
import { IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS } from '../uapi/iommufd-test.ts';
import * as test from '../uapi/iommufd-test-virtual.ts';
import { inMockWorld } from './mock-world.ts';
import type { NativeWorld } from './native-world.ts';

/**
 * PASIDs of the selftest's mock device, each with a page table of its own. Needs Linux 7.3 with CONFIG_IOMMUFD_TEST and no
 * IOMMU.
 */
export function pasidContract(makeSys: () => Sys): readonly ContractCheck[] {
  const check = inMockWorld(makeSys);
  return [
    check(
      'a PASID takes page tables that were made for PASIDs, beside a device that has such a one',
      attaches,
    ),
    check('a replace that the driver refuses leaves the old page table', refusedReplace),
    check('a device without PASIDs takes a page table for PASIDs, but none for a PASID', withoutPasids),
  ];
}

/** The selftest's device with PASIDs, and what it does. */
class PasidDevice {
  readonly deviceId: number;
  readonly #world: NativeWorld;
  readonly #stdevId: number;

  constructor(world: NativeWorld) {
    this.#world = world;
    const { result, out } = invoke(world.sys, world.iommufd.fd, test.TEST_MOCK_DOMAIN_FLAGS, {
      op: IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS,
      id: world.ioas.id,
      dev_flags: test.MOCK_FLAGS_DEVICE_PASID,
    });
    if (result < 0) throw new Error(`MOCK_DOMAIN_FLAGS: ${resultName(result)}`);
    this.deviceId = out.out_idev_id;
    this.#stdevId = out.out_stdev_id;
  }

  /** @returns the errno's name, or 0. PASID 0 is the device itself. */
  run(op: number, pasid: number, ptId = 0): string {
    return pasidOp(this.#world, op, this.#stdevId, pasid, ptId);
  }

  /** PASIDs are not detached with the device: every one has to be before. */
  destroy(pasids: readonly number[]): void {
    for (const pasid of pasids) this.run(test.IOMMU_TEST_OP_PASID_DETACH, pasid);
    this.#world.iommufd.destroyObject(this.#stdevId);
  }
}

function pasidOp(
  { sys, iommufd }: NativeWorld,
  op: number,
  stdevId: number,
  pasid: number,
  ptId: number,
): string {
  return resultName(invoke(sys, iommufd.fd, test.TEST_PASID, { op, id: stdevId, pasid, pt_id: ptId }).result);
}

const ATTACH = test.IOMMU_TEST_OP_PASID_ATTACH;
const REPLACE = test.IOMMU_TEST_OP_PASID_REPLACE;
const DETACH = test.IOMMU_TEST_OP_PASID_DETACH;
const HAS = test.IOMMU_TEST_OP_PASID_CHECK_HWPT;

function tables({ ioas }: NativeWorld, device: PasidDevice): readonly [Hwpt, Hwpt] {
  const make = (): Hwpt => ioas.allocHwpt({ id: device.deviceId }, { pasid: true });
  return [make(), make()];
}

function attaches(world: NativeWorld): void {
  const device = new PasidDevice(world);
  const [one, two] = tables(world, device);
  const got = [
    // The device itself has a page table that is not for PASIDs.
    device.run(ATTACH, 100, one.id),
    device.run(REPLACE, 0, one.id),
    device.run(REPLACE, 100, one.id),
    device.run(ATTACH, 100, world.ioas.id),
    device.run(ATTACH, 100, one.id),
    device.run(ATTACH, 100, two.id),
    device.run(HAS, 100, one.id),
    device.run(REPLACE, 100, two.id),
    device.run(HAS, 100, two.id),
    device.run(HAS, 101, 0),
    device.run(ATTACH, test.MOCK_PASIDS, one.id),
    // With a PASID attached the device itself cannot leave its kind of page table.
    device.run(REPLACE, 0, world.ioas.id),
    device.run(DETACH, 100),
    device.run(HAS, 100, 0),
    device.run(REPLACE, 0, world.ioas.id),
  ];
  const wanted = [
    'EINVAL',
    '0',
    'EINVAL',
    'EINVAL',
    '0',
    'EBUSY',
    '0',
    '0',
    '0',
    '0',
    'EINVAL',
    'EINVAL',
    '0',
    '0',
    '0',
  ];
  same(got, wanted, 'results');
  device.destroy([]);
}

function refusedReplace(world: NativeWorld): void {
  const device = new PasidDevice(world);
  const [one, two] = tables(world, device);
  const pasid = test.IOMMU_TEST_PASID_RESERVED;
  device.run(REPLACE, 0, one.id);
  const got = [
    device.run(ATTACH, pasid, one.id),
    device.run(REPLACE, pasid, two.id),
    device.run(HAS, pasid, one.id),
  ];
  same(got, ['0', 'ENOMEM', '0'], 'attach, refused replace, the page table afterwards');
  device.destroy([pasid]);
}

function withoutPasids(world: NativeWorld): void {
  const hwpt = world.ioas.allocHwpt({ id: world.mock.deviceId }, { pasid: true });
  const run = (op: number, pasid: number, ptId: number): string =>
    pasidOp(world, op, world.mock.stdevId, pasid, ptId);
  const got = [run(REPLACE, 0, hwpt.id), run(ATTACH, 7, hwpt.id), run(DETACH, 7, 0), run(HAS, 7, 0)];
  same(got, ['0', 'EINVAL', '0', '0'], 'replace of the device, attach, detach, check');
  run(REPLACE, 0, world.ioas.id);
}
