import { describe, expect, test } from 'vitest';
import { pciVirtualContract } from '../src/contract/pci-virtual-contract.ts';
import { virtualContract } from '../src/contract/virtual-contract.ts';
import { NativeWorld } from '../src/contract/native-world.ts';
import { invalidate } from '../src/invalidate.ts';
import { SimSys } from '../src/sim/sim-sys.ts';
import { IOMMU_VEVENTQ_TYPE_SELFTEST, IOMMU_VIOMMU_TYPE_SELFTEST } from '../src/uapi/iommufd-test-virtual.ts';

describe.each(['6.12', '7.3'] as const)('virtualization on SimSys, Linux %s', (kernel) => {
  const checks = virtualContract(() => new SimSys({ driver: 'mock', kernel }), kernel);
  test.each(checks)('$name', ({ run }) => expect(run).not.toThrow());
});

describe.each([
  ['vtd', '6.12'],
  ['vtd', '7.3'],
  ['amd', '6.12'],
  ['amd', '7.3'],
] as const)('virtualization of a PCI function on SimSys, %s, Linux %s', (driver, kernel) => {
  const checks = pciVirtualContract(() => new SimSys({ driver, kernel }), { driver, kernel });
  test.each(checks)('$name', ({ run }) => expect(run).not.toThrow());
});

test('what was made through a vIOMMU and a PASID go before their page tables, whatever is disposed', () => {
  const sys = new SimSys({ driver: 'mock', kernel: '7.3' });
  const world = new NativeWorld(sys, 'mock', 16);
  const device = { id: world.mock.deviceId };
  const parent = world.ioas.allocHwpt(device, { nestParent: true });
  const viommu = parent.allocViommu(device, { type: IOMMU_VIOMMU_TYPE_SELFTEST });
  viommu.allocVdevice(device, 3);
  viommu.allocEventQueue({ type: IOMMU_VEVENTQ_TYPE_SELFTEST, depth: 1, eventBytes: 4 });
  world.iommufd.destroyObject(world.mock.stdevId);
  world.iommufd[Symbol.dispose]();
  expect(sys.openFiles).toBe(0);
});

test('entries of different lengths, and PASID 0, are refused before the kernel is asked', () => {
  const sys = new SimSys({ kernel: '7.3' });
  const world = new NativeWorld(sys, 'edu', 16);
  expect(() => world.device!.attachPasid(0, world.ioas)).toThrow('PASID 0 is the device itself');
  const entries = [new Uint8Array(8), new Uint8Array(4)];
  expect(() => invalidate(world.iommufd, 1, 0, entries)).toThrow('an entry has 4 bytes and the first one 8');
  world[Symbol.dispose]();
});
