import { expect, test } from 'vitest';
import { type MachineOptions, qemuArguments } from '../src/qemu-arguments.ts';

const BASE: MachineOptions = {
  image: '/k/bzImage',
  initramfs: '/k/init.cpio',
  iommu: 'intel',
  work: '/tmp/a,b',
  disk: '/tmp/disk',
  output: '/tmp/out',
};
const devices = (o: Partial<MachineOptions>): string[] => {
  const args = qemuArguments({ ...BASE, ...o });
  return args.filter((_, i) => args[i - 1] === '-device');
};
const append = (o: Partial<MachineOptions>): string => qemuArguments({ ...BASE, ...o }).at(-1)!;

test('the IOMMU comes before every device behind it', () => {
  expect(devices({})[0]).toMatch(/^intel-iommu,intremap=on,caching-mode=off/);
  expect(devices({ cachingMode: true, interruptRemapping: false })[0]).toMatch(
    /intremap=off,caching-mode=on/,
  );
  expect(devices({ iommu: 'amd' })[0]).toBe('amd-iommu');
  expect(devices({ iommu: 'virtio' })[0]).toMatch(/^virtio-iommu-pci/);
  expect(devices({ iommu: 'none' })[0]).toMatch(/^edu,/);
});

test('a comma in a path does not end the option', () => {
  expect(qemuArguments(BASE).join(' ')).toContain('path=/tmp/a,,b,security_model');
});

test('the host root is shared read-only, and only when it is asked for', () => {
  expect(qemuArguments(BASE).join(' ')).not.toContain('id=host');
  expect(qemuArguments({ ...BASE, root: 'host' }).join(' ')).toContain(
    'path=/,security_model=none,readonly=on',
  );
  expect([append({}), append({ root: 'host' })].map((line) => /gpusvm.root=(\w+)/.exec(line)![1])).toEqual([
    'none',
    'host',
  ]);
});

test('an oops ends the guest, and virtio-iommu may use interrupts without remapping', () => {
  expect(append({})).toMatch(/oops=panic/);
  expect(append({})).not.toContain('allow_unsafe_interrupts');
  expect(append({ iommu: 'virtio' })).toContain('iommufd.allow_unsafe_interrupts=1');
  expect(append({ kernelArguments: ['iommu.strict=0'] })).toMatch(/ iommu\.strict=0$/);
});

test('trace events go to the trace file', () => {
  const args = qemuArguments({ ...BASE, qemuTrace: { events: ['vtd_inv*', 'vtd_frr*'], file: '/tmp/t' } });
  expect(args.join(' ')).toContain('-trace vtd_inv* -trace vtd_frr* -D /tmp/t');
});

test('a second edu shares the slot, and so the group, of the shared folder', () => {
  expect(devices({}).some((device) => device.includes('addr=9.1'))).toBe(false);
  const shared = devices({ sharedGroup: true });
  expect(shared.at(-2)).toContain('addr=9.0,multifunction=on');
  expect(shared.at(-1)).toBe('edu,addr=9.1');
});
